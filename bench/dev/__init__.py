"""Measurements for those who work on the suite: python -m bench.dev.NAME."""

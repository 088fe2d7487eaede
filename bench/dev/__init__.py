"""Measurements for those who work on the suite; not in the wheel."""

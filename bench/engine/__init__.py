"""Cells in isolated processes, here or on a Ray cluster."""

"""Rival recommenders, one file each."""

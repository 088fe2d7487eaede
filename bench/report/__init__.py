"""The files of a run: JSON, HTML page, comparison, inspection, export."""

"""A unit of work: its key, its random streams, its stored record."""

"""Can the suite fail? Faults put in on purpose, and the checks that catch them; not part of a user's run."""

"""Can the suite fail? Faults put in on purpose, and the checks that catch them."""

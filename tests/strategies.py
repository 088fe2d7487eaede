"""Every Hypothesis strategy of the suite, by the room it serves."""

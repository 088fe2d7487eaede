"""From a preset and the data at hand to cells; from records to results."""

"""The register of claims, intervals, bars, verdicts."""

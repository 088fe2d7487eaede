"""The harness: claims, plan, cells, engine, store, statistics, verdicts, tables."""

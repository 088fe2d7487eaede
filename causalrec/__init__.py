"""CausalRec, its rivals and the graph learners."""

"""Experiments about CausalRec."""

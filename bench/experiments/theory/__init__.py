"""Experiments about SCMs and graph learners, without CausalRec."""

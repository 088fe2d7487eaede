"""Worlds whose truth is known: graphs, structural causal models, user behaviour."""

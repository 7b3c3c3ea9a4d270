"""Readouts: final norm, unembedding and words of a model, stored once for all runs of it."""

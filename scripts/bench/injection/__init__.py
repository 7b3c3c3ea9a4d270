"""Faults, damages and what is left after them."""

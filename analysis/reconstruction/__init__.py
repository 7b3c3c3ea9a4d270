"""Layers as sums of their parts, and the correlation of consecutive depths."""

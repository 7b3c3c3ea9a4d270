"""Array kernels: one pass over blocks, sums in float64."""

"""Norms of activations, outliers, and the residual stream along its depths."""

"""Variance and mean of target and control tokens in Q, K and V."""

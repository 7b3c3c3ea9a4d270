"""Benchmarks: each measures its alternatives in one run and prints ratios, because machines are shared and noisy."""

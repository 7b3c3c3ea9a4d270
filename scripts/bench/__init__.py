"""Benchmarks: each measures its alternatives in one run and prints ratios.

Because machines are shared and noisy.
"""

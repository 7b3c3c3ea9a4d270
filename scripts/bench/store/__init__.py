"""Benchmarks of the store: packing, verifying, relabelling."""

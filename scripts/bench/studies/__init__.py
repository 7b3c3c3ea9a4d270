"""Benchmarks of studies: their speed, and their numbers beside those of others."""

"""Runs: their records, the commits that make shards part of them, their names."""

"""Extraction: plan, forward pass, hooks, transfer to the shard."""

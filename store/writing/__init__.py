"""Writing: shards, packed shards, exports."""

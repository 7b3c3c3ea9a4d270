"""Which layers are redundant: the loss when each is skipped."""

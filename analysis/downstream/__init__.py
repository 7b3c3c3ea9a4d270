"""What edits do downstream, against the run without them."""

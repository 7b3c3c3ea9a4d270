"""Charts: what studies make of their results, and what of it gets into a page."""

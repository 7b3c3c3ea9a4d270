"""Reading: the lazy labelled view of a run, block by block."""

"""Charts on a page: their script, their data."""

"""What users call from Python: extraction, and every study as a function."""

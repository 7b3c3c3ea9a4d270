"""Inputs from elsewhere, nearly right, for fuzzing."""

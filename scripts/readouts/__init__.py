"""Readouts from the command line: made by their own command, and beside an extraction."""

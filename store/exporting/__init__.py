"""Copies of a run, or part of it, in the formats of other libraries: folders, written whole."""

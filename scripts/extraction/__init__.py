"""Extraction as commands use it."""

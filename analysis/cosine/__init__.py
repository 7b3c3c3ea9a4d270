"""Cosines between features over contexts."""

"""The commands that are no analyses, one a module."""

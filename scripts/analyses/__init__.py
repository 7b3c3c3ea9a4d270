"""The commands of the analyses, one a module."""

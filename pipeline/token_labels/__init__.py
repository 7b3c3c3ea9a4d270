"""Token labels: spans of characters in a file, joined to the tokens of a run."""

"""What studies keep of many tokens: bounded, and the same numbers."""

"""What studies say of their results: sentences held against numbers that are known."""

"""What analyses select by: tokens, words, groups, sentences."""

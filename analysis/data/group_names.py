"""Names of the groups of tokens that every run has; importing this costs nothing."""

FIRST, LATER, SPECIAL, ALL = "first token", "later tokens", "special tokens", "all tokens"
#: those that hold all tokens that are looked at: with first and special ones, or without
WHOLE = (LATER, ALL)
REST = "rest"  # all tokens that are in no other group

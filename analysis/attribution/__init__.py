"""Who writes the answer: parts of the residual stream, heads, and what each adds to a logit."""

"""What the model would say at each depth, and what turns activations into logits."""

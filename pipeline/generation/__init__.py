"""Text that a model writes behind prompts, made before its activations are extracted."""

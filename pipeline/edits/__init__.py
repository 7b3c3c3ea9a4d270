"""Edits: their texts, where they act, grids of them, and their work on tensors."""

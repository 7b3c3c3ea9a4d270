"""Weight files: their tensors as bytes, their digests, whether they fit."""

"""Readouts made from safetensors files, without torch."""

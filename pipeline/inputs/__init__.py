"""Inputs: sentence files to sentences, tokens and batches."""

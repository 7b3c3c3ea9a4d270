"""The analyses: labelled arrays in, a small Dataset out, lazy until asked.

No torch, no model, no files but results.
"""

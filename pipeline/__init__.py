"""The pipeline: sentences to tokens to units, through a model, into the store.

torch is imported when a model runs, not before.
"""

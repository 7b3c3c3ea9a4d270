"""Extraction over workers of dask.distributed."""

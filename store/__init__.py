"""The store: immutable shards of activations, made part of a run by commits.

Read as lazy labelled arrays.

>>> from actlas.store import Store
>>> run = Store("actlas-store").run("her-demo")
>>> run.dataset(sites=("q", "k", "v"))["q"]

Imports no sibling, no torch, no matplotlib.
"""

from actlas.store.catalog import Store
from actlas.store.errors import ActlasError, DamagedStore, IncompleteRun, StoreError, UsageError
from actlas.store.runs.run import Run

__all__ = [
    "ActlasError",
    "DamagedStore",
    "IncompleteRun",
    "Run",
    "Store",
    "StoreError",
    "UsageError",
]

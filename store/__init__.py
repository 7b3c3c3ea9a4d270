"""The store: immutable shards of activations, made part of a run by commits.

Read as lazy labelled arrays.

>>> from actlas.store import Store
>>> run = Store("actlas-store").run("her-demo")
>>> run.dataset(sites=("q", "k", "v"))["q"]

Imports no sibling, no torch, no matplotlib. Names are imported when they are first used: what needs
no NumPy, such as the errors, comes without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actlas.store.catalog import Store as Store
    from actlas.store.errors import ActlasError as ActlasError
    from actlas.store.errors import DamagedStore as DamagedStore
    from actlas.store.errors import IncompleteRun as IncompleteRun
    from actlas.store.errors import StoreError as StoreError
    from actlas.store.errors import UsageError as UsageError
    from actlas.store.runs.run import Run as Run

#: name → the module that holds it
_HOMES = {
    **dict.fromkeys(
        ("ActlasError", "DamagedStore", "IncompleteRun", "StoreError", "UsageError"),
        "actlas.store.errors",
    ),
    "Run": "actlas.store.runs.run",
    "Store": "actlas.store.catalog",
}
__all__ = [
    "ActlasError",
    "DamagedStore",
    "IncompleteRun",
    "Run",
    "Store",
    "StoreError",
    "UsageError",
]


def __getattr__(name: str) -> Any:
    """Import ``name`` from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module 'actlas.store' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return what users type."""
    return sorted(__all__)

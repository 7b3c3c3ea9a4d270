"""actlas: run sentences through a model once, keep the activations, study them offline.

>>> import actlas
>>> run = actlas.open("actlas-store").run("her-demo")
>>> run.dataset(sites=("q", "k", "v"))["q"]

Names are imported when they are first used: ``import actlas`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from actlas.analysis.groups import select_groups as select_groups
    from actlas.store import ActlasError as ActlasError
    from actlas.store import DamagedStore as DamagedStore
    from actlas.store import IncompleteRun as IncompleteRun
    from actlas.store import Run as Run
    from actlas.store import Store as Store
    from actlas.store import StoreError as StoreError
    from actlas.store import UsageError as UsageError

#: name → the module that holds it
_HOMES = dict.fromkeys(
    ("ActlasError", "DamagedStore", "IncompleteRun", "Run", "Store", "StoreError", "UsageError"),
    "actlas.store",
) | {"select_groups": "actlas.analysis.groups"}
__all__ = [
    "ActlasError",
    "DamagedStore",
    "IncompleteRun",
    "Run",
    "Store",
    "StoreError",
    "UsageError",
    "open",
    "select_groups",
]


def open(path: "str | Path") -> "Store":  # noqa: A001
    """Return the store at ``path``; raises UsageError where there is none."""
    store: Store = __getattr__("Store")(path)
    return store


def __getattr__(name: str) -> Any:
    """Import ``name`` from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module 'actlas' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return what users type."""
    return sorted(__all__)

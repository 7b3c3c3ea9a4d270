"""actlas: run sentences through a model once, keep the activations, study them offline.

>>> import actlas
>>> run = actlas.extract(["We saw her.", "Mary lost her key."], "demo")
>>> run["q", 3]
>>> actlas.variance(run, target="her").plot()

Every study is a function of that name: ``actlas.studies`` lists them.

Names are imported when they are first used: ``import actlas`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from actlas.analysis.groups import select_groups as select_groups
    from actlas.scripts.api import studies as studies
    from actlas.scripts.api.extract import extract as extract
    from actlas.scripts.api.functions import StudyFunction
    from actlas.scripts.api.result import Result as Result
    from actlas.store import ActlasError as ActlasError
    from actlas.store import DamagedStore as DamagedStore
    from actlas.store import IncompleteRun as IncompleteRun
    from actlas.store import Run as Run
    from actlas.store import Store as Store
    from actlas.store import StoreError as StoreError
    from actlas.store import UsageError as UsageError

    # the studies of actlas; those of other packages are found in the same way
    attribute: StudyFunction
    cosine: StudyFunction
    downstream: StudyFunction
    heads: StudyFunction
    histogram: StudyFunction
    lens: StudyFunction
    norms: StudyFunction
    reconstruct: StudyFunction
    scan: StudyFunction
    triangulate: StudyFunction
    variance: StudyFunction

#: name → the module that holds it
_HOMES = dict.fromkeys(
    ("ActlasError", "DamagedStore", "IncompleteRun", "Run", "Store", "StoreError", "UsageError"),
    "actlas.store",
)
_HOMES |= {
    "Result": "actlas.scripts.api.result",
    "extract": "actlas.scripts.api.extract",
    "select_groups": "actlas.analysis.groups",
}
_STUDIES = "actlas.scripts.api.studies"
_PARTS = ("analysis", "pipeline", "scripts", "store")  # imported as modules are
__all__ = [
    "ActlasError",
    "DamagedStore",
    "IncompleteRun",
    "Result",
    "Run",
    "Store",
    "StoreError",
    "UsageError",
    "extract",
    "open",
    "select_groups",
    "studies",
]


def open(path: "str | Path") -> "Store":  # noqa: A001
    """Return the store at ``path``; raises UsageError where there is none."""
    store: Store = __getattr__("Store")(path)
    return store


def __getattr__(name: str) -> Any:
    """Import ``name`` from its home, or find the study of that name."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name == "studies":
        return import_module(_STUDIES)
    if not name.startswith("_") and name not in _PARTS:
        studies = import_module(_STUDIES)
        if name in dir(studies):
            return getattr(studies, name)
    raise AttributeError(f"module 'actlas' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return what users type."""
    return sorted({*__all__, *dir(import_module(_STUDIES))})

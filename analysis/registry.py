"""The studies there are: those of actlas, and those that other packages declare.

A package adds one with an entry point of the group ``actlas.studies``, whose name is that of the
study and whose value is its class, ``package.module:Class``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import dataclass
from functools import cache
from typing import Any

from actlas.analysis.declaring.study import Study
from actlas.store.errors import ActlasError

GROUP = "actlas.studies"
PACKAGE = "actlas"
#: those that setup.cfg declares too; found without looking through what is installed
BUILT_IN = {
    "attribute": "actlas.analysis.attribution.declaration:Attribute",
    "cosine": "actlas.analysis.cosine.declaration:Cosine",
    "downstream": "actlas.analysis.downstream.declaration:Downstream",
    "heads": "actlas.analysis.heads.declaration:Heads",
    "histogram": "actlas.analysis.histogram.declaration:Histogram",
    "lens": "actlas.analysis.lens.declaration:Lens",
    "norms": "actlas.analysis.norms.declaration:Norms",
    "reconstruct": "actlas.analysis.reconstruction.declaration:Reconstruct",
    "scan": "actlas.analysis.scan.declaration:Scan",
    "triangulate": "actlas.analysis.triangulation.declaration:Triangulate",
    "variance": "actlas.analysis.variance.declaration:Variance",
}


@dataclass(frozen=True)
class Entry:
    """Where a study is: ``module:Class``, and the package that declares it."""

    value: str
    package: str


def names() -> list[str]:
    """Return the names of all studies, sorted; imports none of them."""
    return sorted(_entries())


def find(name: str) -> Study[Any] | None:
    """Return the study of that name, None where there is none.

    Raises ActlasError where its module cannot be imported, or what it names is no study.
    """
    entry = _entry(name)
    return None if entry is None else _loaded(name, entry)


def software(name: str) -> dict[str, str]:
    """Return the package that declares a study with its version: results are of that version."""
    entry = _entry(name)
    package = PACKAGE if entry is None else entry.package
    return {package: importlib.metadata.version(package)}


def _entry(name: str) -> Entry | None:
    built_in = BUILT_IN.get(name)
    return Entry(built_in, PACKAGE) if built_in else _entries().get(name)


@cache
def _entries() -> dict[str, Entry]:
    """Return all entries by name; a name of actlas's own is never another's.

    Raises ActlasError where two packages declare the same name.
    """
    found = {name: Entry(value, PACKAGE) for name, value in BUILT_IN.items()}
    for point in importlib.metadata.entry_points(group=GROUP):
        package = point.dist.name if point.dist else point.module.partition(".")[0]
        entry = Entry(point.value, package)
        known = found.setdefault(point.name, entry)
        if known != entry:
            raise ActlasError(
                f"study {point.name!r} is declared by {known.package} and by {package}: "
                "uninstall one of them"
            )
    return found


@cache
def _loaded(name: str, entry: Entry) -> Study[Any]:
    module, _, attribute = entry.value.partition(":")
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # the code of another package may do anything
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ActlasError(
            f"study {name!r} of {entry.package} cannot be imported ({reason[:200]}): "
            f"update or uninstall {entry.package}"
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, Study)) or kind.name != name:
        raise ActlasError(
            f"study {name!r} of {entry.package}: {entry.value} is not a Study of that name"
        )
    return kind()

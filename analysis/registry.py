"""The studies there are: those of actlas, and those that other packages declare.

A package adds one with an entry point of the group ``actlas.studies``, whose name is that of the
study and whose value is its class, ``package.module:Class``.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actlas.store.errors import ActlasError

if TYPE_CHECKING:
    from actlas.analysis.declaring.study import Study

GROUP = "actlas.studies"
PACKAGE = "actlas"
#: those that setup.cfg declares too, in the order of the overview
BUILT_IN = {
    "variance": "actlas.analysis.variance.declaration:Variance",
    "cosine": "actlas.analysis.cosine.declaration:Cosine",
    "histogram": "actlas.analysis.histogram.declaration:Histogram",
    "norms": "actlas.analysis.norms.declaration:Norms",
    "reconstruct": "actlas.analysis.reconstruction.declaration:Reconstruct",
    "scan": "actlas.analysis.scan.declaration:Scan",
    "downstream": "actlas.analysis.downstream.declaration:Downstream",
    "lens": "actlas.analysis.lens.declaration:Lens",
    "attribute": "actlas.analysis.attribution.declaration:Attribute",
    "triangulate": "actlas.analysis.triangulation.declaration:Triangulate",
    "heads": "actlas.analysis.heads.declaration:Heads",
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
    return {package: _version(package)}


@cache
def _version(package: str) -> str:
    import importlib.metadata

    return importlib.metadata.version(package)


def _entry(name: str) -> Entry | None:
    built_in = BUILT_IN.get(name)
    return Entry(built_in, PACKAGE) if built_in else _entries().get(name)


@cache
def _entries() -> dict[str, Entry]:
    """Return all entries by name; a name of actlas's own is never another's.

    Raises ActlasError where two packages declare the same name.
    """
    found = {name: Entry(value, PACKAGE) for name, value in BUILT_IN.items()}
    if not any(map(_may_declare, sys.path)):
        return found
    import importlib.metadata

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


def _may_declare(folder: str) -> bool:
    """Whether a package in a folder of ``sys.path``, beside actlas itself, may declare studies.

    importlib.metadata takes longer to import than `actlas --help` takes without it.
    """
    place = Path(folder)
    if place.is_file():
        return True  # an archive: importlib.metadata looks into it
    try:
        names = [each.name for each in place.iterdir()]
    except OSError:
        return False
    for name in names:
        if name.endswith((".dist-info", ".egg-info")) and not name.startswith(f"{PACKAGE}-"):
            try:
                declared = (place / name / "entry_points.txt").read_bytes()
            except OSError:
                continue
            if GROUP.encode() in declared:
                return True
    return False


@cache
def _loaded(name: str, entry: Entry) -> Study[Any]:
    from actlas.analysis.declaring.study import Study

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

"""Every study as a function: ``actlas.studies.variance(run, target="her")``.

Those of actlas, and those of other packages that are installed. They are made when they are first
used.
"""

from __future__ import annotations

from actlas.analysis import registry
from actlas.scripts.api.functions import StudyFunction, function_of


def __getattr__(name: str) -> StudyFunction:
    """Return the study of that name as a function."""
    found = None if name.startswith("_") else function_of(name)
    if found is None:
        raise AttributeError(f"there is no study {name!r}: expected {', '.join(registry.names())}")
    return found


def __dir__() -> list[str]:
    """Return the names of all studies."""
    return registry.names()

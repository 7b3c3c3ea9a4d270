"""Variants that are compared with the run without edits.

Those that a user names, or all of a kind.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from actlas.analysis.declaring import Study
from actlas.store.errors import DamagedStore, UsageError, quoted

if TYPE_CHECKING:
    from actlas.store.catalog import Store
    from actlas.store.runs.run import Run


def find_variants(store: Store, references: tuple[str, ...]) -> list[Run]:
    """Return the runs of ``references``, names, ids or patterns, each once.

    Raises UsageError as ``comparable`` does, and where nothing has such a name.
    """
    names = list(store.names())
    found: dict[str, Run] = {}
    for reference in references:
        if set(reference) & set("*?["):
            matches = [store.run(name) for name in names if fnmatchcase(name, reference)]
            matches += store.variants_named(reference)
        else:
            matches = [store.run(reference)]
        if not matches:
            raise UsageError(f"no run has a name like {quoted(reference)}: `actlas ls` lists them")
        for run in matches:
            found.setdefault(run.id, run)
    return comparable(list(found.values()))


def comparable(variants: list[Run]) -> list[Run]:
    """Return ``variants``; raises UsageError for a run without edits, or of another baseline."""
    for run in variants:
        if not run.edits:
            raise UsageError(
                f"run {run.name} has no edits: expected variants, as `actlas sweep` makes them"
            )
    baselines = {baseline_of(run).id: run for run in variants}
    if len(baselines) > 1:
        one, other = list(baselines.values())[:2]
        raise UsageError(
            f"{one.name} and {other.name} have different baselines: "
            "compare variants of one at a time"
        )
    return variants


def baseline_of(run: Run) -> Run:
    """Return the run without edits; raises DamagedStore where the store does not have it."""
    if run.baseline is None:
        raise DamagedStore(
            f"the baseline of run {run.name} is not in the store: extract without edits first"
        )
    return run.baseline


def named_baseline(variant: Run) -> Run:
    """Return the baseline under the name it has in the store."""
    from actlas.store.catalog import Store

    return Store(variant.folder.parent.parent).run(baseline_of(variant).id)


def beside(study: Study[Any], run: Run) -> tuple[Run, ...]:
    """Return what a study looks at beside ``run``, where it is not the user who names that."""
    if study.variants == "found":
        return variants_of(study, run)
    if study.variants == "baseline" and run.edits and run.baseline is not None:
        return (named_baseline(run),)
    return ()


def variants_of(study: Study[Any], run: Run) -> tuple[Run, ...]:
    """Return the variants of ``run`` that ``study`` looks at, sorted by its key.

    Raises UsageError for a run that has edits itself.
    """
    if run.edits:
        without = run.baseline.id if run.baseline else "gone"
        raise UsageError(f"run {run.name} has edits itself: expected the run without, {without}")
    found = {}
    from actlas.store.catalog import Store

    for variant in Store(run.folder.parent.parent).variants(run.id):
        key = study.variant_key(variant.edits)
        if key is not None:
            found[key] = variant
    return tuple(found[key] for key in sorted(found))

"""Housekeeping of a store: another name for a run, a run removed, garbage collected.

Nothing is ever removed for its age.

A run goes in one rename, to ``removed/`` beside ``runs/``; what a kill leaves after that,
``collect`` finishes.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from actlas.store.catalog import Store
from actlas.store.errors import DamagedStore, StoreError, UsageError
from actlas.store.format.run_record import FILE
from actlas.store.format.schema import RUN_ID
from actlas.store.io.durable import make_folder, sync_folder
from actlas.store.io.workspace import (
    check_own,
    collect_garbage,
    lost_shards,
    restore_lost,
    workspace,
    writers,
)
from actlas.store.maintenance.narrower import drop, needless
from actlas.store.readouts.record import FOLDER as READOUTS
from actlas.store.readouts.writing import unneeded
from actlas.store.runs.commits import COMMITS, PACKED, was_begun
from actlas.store.runs.names import REMOVED
from actlas.store.runs.run import Run


@dataclass(frozen=True)
class Garbage:
    """Something that nothing needs any more: where it is, what it is, its bytes."""

    path: Path
    kind: str
    nbytes: int


@dataclass(frozen=True)
class Collected:
    """What was removed from a whole store, or would be, and what it had to leave and why."""

    garbage: tuple[Garbage, ...]
    problems: tuple[str, ...]


def rename(store: Store, reference: str, new: str) -> tuple[Run, str | None]:
    """Call a run ``new`` instead of the name ``reference``.

    Return it, and the name that it no longer has.

    By id, its only name is replaced, or it gets its first. The new name is on the disk before the
    old one goes.
    Raises UsageError for a name that is malformed or another run's, or for an id of a run with
    several names.
    """
    run = store.run(reference)
    if reference not in run.names and len(run.names) > 1:
        raise UsageError(
            f"run {run.id} has several names, {', '.join(run.names)}: give the one to be replaced"
        )
    old = reference if reference in run.names else next(iter(run.names), None)
    named = store.name(run, new)
    if old is None or old == new:
        return named, None
    store.unname(run.id, old)
    return store.run(new), old


def check_removable(store: Store, run_id: str, *, force: bool = False) -> None:
    """Raise StoreError while a writer is at work in the run, or variants need it.

    force: whatever variants need.
    """
    folder = store.path / "runs" / run_id
    check_own(folder.parent, folder, folder / "tmp", store.path / REMOVED)
    if writers(folder):
        raise StoreError(
            f"run {run_id} is being written to: wait for its extraction to end, or stop it"
        )
    needing = [] if force else store.variants(run_id)
    if needing:
        names = ", ".join(sorted(run.name for run in needing))
        raise StoreError(
            f"run {run_id} is the baseline of {names}: remove {_them(needing)} first, or give "
            "--force"
        )


def remove(store: Store, run_id: str, *, force: bool = False) -> list[str]:
    """Remove a run, which may be damaged, and its names; return these.

    One rename takes the whole run away; then go its names, then its bytes. Raises StoreError as
    ``check_removable`` does.
    """
    check_removable(store, run_id, force=force)
    away = _take_away(store, store.path / "runs" / run_id)
    names = [name for name, target in store.names().items() if target == run_id]
    for name in names:
        (store.path / "names" / name).unlink(missing_ok=True)
    sync_folder(store.path / "names")
    _delete(away)
    return names


def collect(store: Store, *, dry_run: bool = False) -> Collected:
    """Remove all that is left of killed writers and of removals that were not finished.

    And shards of some tokens whose numbers are stored for more tokens: see ``narrower``.

    dry_run: only list it.
    """
    check_own(store.path / "runs", store.path / "names", store.path / REMOVED)
    garbage: list[Garbage] = []
    problems: list[str] = []
    for folder in sorted((store.path / "runs").iterdir()):
        if not RUN_ID.fullmatch(folder.name):
            continue
        try:
            check_own(folder)
            if not (folder / FILE).exists():
                garbage += _unborn(store, folder, dry_run)
                continue
            problems += [] if dry_run else _restored(folder)
            garbage += _of_run(folder, dry_run)
        except StoreError as error:
            problems.append(str(error))
    for run, variants in _families(store):
        try:
            garbage += _narrower(run, variants, dry_run)
        except StoreError as error:
            problems += [] if str(error) in problems else [str(error)]
    garbage += _of_readouts(store, dry_run)
    garbage += _half_removed(store, dry_run)
    garbage += _lost_names(store, dry_run)
    return Collected(tuple(garbage), tuple(problems))


def tree_bytes(path: Path) -> int:
    """Return the bytes of a file, or of all files under a folder.

    Links are not followed, files that go meanwhile are 0.
    """
    try:
        if path.is_symlink() or not path.is_dir():
            return path.lstat().st_size
        return sum(tree_bytes(Path(entry.path)) for entry in os.scandir(path))
    except FileNotFoundError:
        return 0


def _of_run(folder: Path, dry_run: bool) -> list[Garbage]:
    """Remove what dead writers left in a run."""
    sizes = {path: tree_bytes(path) for path in collect_garbage(folder, dry_run=True)}
    found = sizes if dry_run else collect_garbage(folder)
    double = "record for which another stands"
    kinds = {
        "tmp": "folder of a writer that is gone",
        "shards": "shard without a commit",
        COMMITS: double,
        PACKED: double,
    }
    return [Garbage(path, kinds[path.parent.name], sizes.get(path, 0)) for path in found]


def _families(store: Store) -> list[tuple[Run, list[Run]]]:
    """Return each run with its variants; none while one, which may be a variant, is unreadable."""
    runs, damaged = store.survey()
    if any(RUN_ID.fullmatch(name) for name in damaged):
        return []
    return [(run, [each for each in runs if each.baseline_id == run.id]) for run in runs]


def _narrower(run: Run, variants: list[Run], dry_run: bool) -> list[Garbage]:
    """Remove shards of some tokens whose numbers are stored for more."""
    records = needless(run, variants)
    if records and not dry_run:
        drop(run, records)
    kind = "rows of some tokens, stored for more as well"
    return [Garbage(run.path(record), kind, record.size) for record in records]


def _restored(folder: Path) -> list[str]:
    """Commit what a killed writer had finished, and what has lost its record.

    Return why that cannot be done.
    """
    if not lost_shards(folder)[0]:
        return []
    with workspace(folder) as work:
        _, left = restore_lost(folder, work.folder)
    return [f"{lost}: {problems[0]}" for lost, problems in left]


def _unborn(store: Store, folder: Path, dry_run: bool) -> list[Garbage]:
    """Take away a run whose making was killed before its run.json.

    One with what comes after lost that file: it is damaged.
    """
    if was_begun(folder):
        raise DamagedStore(
            f"{folder / FILE} is missing and {folder} has data: restore it from a copy, or extract "
            "again"
        )
    check_own(folder / "tmp")
    if writers(folder):
        return []
    item = Garbage(folder, "run that was never begun", tree_bytes(folder))
    if not dry_run:
        _delete(_take_away(store, folder))
    return [item]


def _of_readouts(store: Store, dry_run: bool) -> list[Garbage]:
    """Remove what dead writers of readouts left, and readouts of models that no run is of.

    While a run cannot be read, nobody knows which it needs: all are kept.
    """
    folder = store.path / READOUTS
    if not folder.is_dir():
        return []
    check_own(folder)
    garbage = _of_run(folder, dry_run)
    runs, damaged = store.survey()
    if damaged:
        return garbage
    models = [run.specification.get("model", {}) for run in runs]
    for path in unneeded(store.path, models):
        garbage.append(Garbage(path, "readout that no run needs", tree_bytes(path)))
        if not dry_run:
            path.unlink(missing_ok=True)
            sync_folder(folder)
    return garbage


def _half_removed(store: Store, dry_run: bool) -> list[Garbage]:
    folders = [
        path
        for path in sorted((store.path / REMOVED).glob("*"))
        if path.is_dir() and not path.is_symlink()
    ]
    garbage = [Garbage(path, "removed run", tree_bytes(path)) for path in folders]
    for item in garbage if not dry_run else ():
        _delete(item.path)
    return garbage


def _lost_names(store: Store, dry_run: bool) -> Iterator[Garbage]:
    there = set(store.ids())  # damaged ones too: these keep their names
    for name, target in store.names().items():
        if target in there:
            continue
        path = store.path / "names" / name
        yield Garbage(path, f"name of run {target!r}, which is not there", tree_bytes(path))
        if not dry_run:
            path.unlink(missing_ok=True)
            sync_folder(path.parent)


def _take_away(store: Store, folder: Path) -> Path:
    """Move a run out of ``runs`` in one step, and return where it is now."""
    away = store.path / REMOVED / f"{folder.name}-{secrets.token_hex(6)}"
    make_folder(away.parent)
    folder.rename(away)
    sync_folder(away.parent)
    sync_folder(folder.parent)
    return away


def _delete(folder: Path) -> None:
    """Remove a folder that was taken away; another process may be at it too."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise StoreError(
            f"{folder} could not be removed to its end: see to its permissions, then run `actlas "
            "gc`"
        )


def _them(runs: list[Run]) -> str:
    return "it" if len(runs) == 1 else "them"

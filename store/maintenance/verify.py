"""Verification: every committed byte against its checksum, every commit against its run.

Every file against its own record.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from actlas.store.errors import DamagedStore, StoreError
from actlas.store.format.schema import SUFFIX, Unit
from actlas.store.io.safe_open import listed
from actlas.store.io.workspace import lost_shards, token_of
from actlas.store.labels.verify import label_problems
from actlas.store.maintenance.checks import Checked, Files, check_location, copy_problem, shard_of
from actlas.store.runs.commits import ATTEMPTS, COMMITS, PACKED, packed_paths, read_commit
from actlas.store.runs.run import Run


def verify(run: Run) -> Iterator[Checked]:
    """Check commit after commit of ``run``.

    A problem says which file and what of it. Reads every byte once.

    Units of a packed shard have the names that their records would have alone, shards that have
    lost their record their own. What is packed meanwhile is looked at where it lies then. What
    follows is damaged: files whose HDF5 part is not as it was written, and versions of the label
    columns.
    """
    planned = frozenset(run.units)
    done: set[str] = set()
    files: Files = {}
    for _ in range(ATTEMPTS):
        moved = False
        for record, checked in _each(run, planned, done, files):
            if checked is None or (checked.problems and not record.exists()):
                moved = True  # packed, or dropped, since it was listed
            else:
                done.add(checked.commit)
                yield checked
        if not moved:
            break
    yield from _lost(run)
    for of_file in files.values():
        if of_file and (run.folder / "shards" / of_file.commit).exists():
            yield of_file
    yield from check_label_records(run)


def _each(
    run: Run, planned: frozenset[Unit], done: set[str], files: Files
) -> Iterator[tuple[Path, Checked | None]]:
    """Yield what is not ``done``, each with the path of its record.

    The path is None if the record was removed since it was listed.
    """
    for path in packed_paths(run.folder):
        yield from ((path, checked) for checked in _units_of(run, path, files, planned, done))
    for path in listed(run.folder / COMMITS, SUFFIX):
        if path.name not in done:
            yield from ((path, checked) for checked in _units_of(run, path, files, planned, done))


def _units_of(
    run: Run, path: Path, files: Files, planned: frozenset[Unit], done: set[str]
) -> Iterator[Checked | None]:
    """Yield the units of a record that are not ``done``.

    Of a packed shard, its copy of the record follows where that is wrong.
    """
    try:
        record = read_commit(path)
    except DamagedStore as error:
        yield from () if path.name in done else (Checked(path.name, 0, (str(error),)),)
        return
    except FileNotFoundError:
        yield None
        return
    packed = path.parent.name == PACKED
    found = [each for each in record.locations if not packed or each.name not in done]
    for location in found:
        if not packed or location.name not in done:
            yield check_location(run, path, location, files, planned)
    if packed and found and path.name not in done:
        wrong = copy_problem(shard_of(run, record), record)
        yield from (Checked(path.name, 0, (wrong,)),) if wrong else ()


def _lost(run: Run) -> Iterator[Checked]:
    """Yield the shards that have lost their record.

    Those that a writer was killed over are no damage.
    """
    try:
        lost, killed = lost_shards(run.folder)
    except StoreError:
        # an unreadable record is reported already; without locks nobody knows who is at work
        return
    for each in lost:
        if token_of(each.path) not in killed:
            yield Checked(each.path.name, 0, (f"{each}: `actlas verify --repair` restores it",))


def check_label_records(run: Run) -> Iterator[Checked]:
    """Yield the damaged versions of a run's label columns; a variant's are its baseline's."""
    if run.label_home == run.folder:
        found = [Checked(*each, "labels") for each in label_problems(run.folder, run.counts)]
        if not any(item.problems for item in found) and (problem := _as_read(run)):
            found = [Checked("labels", 0, (problem,), "labels")]
        yield from (item for item in found if item.problems)


def _as_read(run: Run) -> str | None:
    """Return why the run does not read its columns, such as one with the name of a site."""
    try:
        _ = run.records
    except DamagedStore:
        return None  # the record that is damaged is reported
    try:
        _ = run.columns
    except DamagedStore as error:
        return str(error)
    return None

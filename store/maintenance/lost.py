"""Shards that no record speaks of.

Garbage, or units whose commit or packed record is lost and stands in the file once more.

Every file that is published ends with its own record. So one without a record elsewhere, and whose
units no other file
holds, is never rubbish: its record is published again, once all its bytes are found to be valid.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from actlas.store.errors import DamagedStore, LaterRecord
from actlas.store.format.commit_record import FORMAT_COMMIT, CommitRecord, UnitLocation
from actlas.store.format.schema import SUFFIX, seal, stem
from actlas.store.format.tail import read_tail
from actlas.store.format.validation import parse_commit
from actlas.store.io.durable import make_folder, publish_bytes, sync_folder
from actlas.store.io.safe_open import LARGEST_PACKED, opened
from actlas.store.runs.commits import COMMITS, all_records, is_whole, publish_packed
from actlas.store.runs.packed import is_dropped, packing_lock

if TYPE_CHECKING:
    from actlas.store.runs.run import Run


@dataclass(frozen=True)
class Lost:
    """A shard without a record.

    It has a path, its own copy of the record, and the units that no other file holds.
    """

    path: Path
    record: CommitRecord
    members: tuple[int, ...]  # numbers in the units of the file

    @property
    def units(self) -> list[int]:
        """Numbers of these units in the run."""
        return [self.record.units[index].number for index in self.members]

    def __str__(self) -> str:
        """Say what is in it."""
        what = f"unit {self.units[0]}" if len(self.units) == 1 else f"{len(self.units)} units"
        return f"{self.path} holds {what} of run {self.record.run}, and no record speaks of it"


def without_record(
    run_folder: Path, shards: Iterable[Path], but: Sequence[Path] = ()
) -> tuple[list[Path], list[Lost]]:
    """Return those of ``shards`` that no record speaks of.

    First those that are not needed, then those that have lost their record.

    but: records that do not count. Raises DamagedStore where one is unreadable: nothing is known to
    be unneeded then.
    """
    shards = list(shards)
    if not shards:
        return [], []
    records = all_records(run_folder, but)
    named = {record.file for record in records}
    unnamed = [shard for shard in shards if shard.name not in named]
    whole = [record for record in records if unnamed and is_whole(run_folder, record)]
    held = {work for record in whole for work in record.covers}
    unneeded, lost = [], []
    for shard in sorted(unnamed, reverse=True):
        record = None if is_dropped(run_folder, shard.name) else read_copy(shard)
        works = record.covers if record else frozenset()
        # nobody knows whether another run has its own units too
        foreign = record is not None and record.run != run_folder.name
        members = []
        for index in record.present if record else ():
            if record and (foreign or record.work(index) not in held):
                members.append(index)
        if record and members:
            lost.append(Lost(shard, record, tuple(members)))
            held.update(() if foreign else works)
        else:
            unneeded.append(shard)
    return unneeded[::-1], lost[::-1]


def read_copy(shard: Path) -> CommitRecord | None:
    """Return the record at the end of a file; None where it has none that fits it."""
    try:
        with opened(shard) as (descriptor, found):
            tail = read_tail(partial(os.pread, descriptor), found.st_size, LARGEST_PACKED)
        if tail is None or tail.kind != FORMAT_COMMIT:
            return None
        record = parse_commit(tail.sealed, shard)
    except LaterRecord:  # nobody here knows what it holds
        raise
    except (DamagedStore, FileNotFoundError):
        return None
    return record if (record.hdf5, record.size) == (tail.start, found.st_size) else None


def restore(run: Run, lost: Lost, temporary: Path) -> tuple[list[int], list[str]]:
    """Publish the record of a shard again, for its units that are valid.

    Returns their numbers, and what is wrong with the others.

    A file that somebody renamed gets its name again.
    """
    from actlas.store.maintenance.checks import check_unit, misplaced, missed_of  # and with it HDF5

    problems: list[str] = []
    valid: list[int] = []
    remedy, planned = "remove it and extract again", frozenset(run.units)
    for index in lost.members:
        location = UnitLocation(lost.record, index)
        found = [f"{lost.path} {wrong}" for wrong in misplaced(run, location, planned)]
        found = found or check_unit(location, lost.path, remedy, {})[1]
        found = found or list(missed_of(run, location))
        problems += found
        valid += [] if found else [index]
    name = lost.path.with_name(lost.record.file)
    if valid and name != lost.path:  # somebody renamed it
        if name.exists():
            return [], [
                f"{lost.path} should be called {name.name}, which is there: remove one of them"
            ]
        lost.path.rename(name)
    if valid:
        _publish(run.folder, lost.record, valid, temporary)
    return [lost.record.units[index].number for index in valid], problems


def _publish(run_folder: Path, record: CommitRecord, valid: Sequence[int], temporary: Path) -> None:
    sync_folder(run_folder / "shards")  # whoever wrote it may have been killed before
    if len(record.units) == 1:
        name = stem(*record.work(0)) + SUFFIX
        make_folder(run_folder / COMMITS)
        publish_bytes(seal(record.to_json()), run_folder / COMMITS / name, temporary=temporary)
        return
    with packing_lock(run_folder):
        dropped = frozenset(range(len(record.units))).difference(valid)
        publish_packed(run_folder, replace(record, dropped=dropped), temporary)

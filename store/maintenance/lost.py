"""Shards that no record speaks of: leftovers, or units whose commit or packed record is lost and stands in the file once more.

Every file that is published ends with its own record. So one without a record elsewhere, and whose units no other file
holds, is never rubbish: its record is published again, once all its bytes are found to be sound.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from actlas.store.errors import DamagedStore, LaterRecord
from actlas.store.format.schema import FORMAT_COMMIT, Commit, seal
from actlas.store.format.tail import read_tail
from actlas.store.io.durable import make_folder, publish_bytes, sync_folder
from actlas.store.io.safe_open import LARGEST_JOINED, opened
from actlas.store.runs.commit import SUFFIX, parse_commit, stem
from actlas.store.runs.holdings import (
    all_records,
    is_dropped,
    is_whole,
    packing_lock,
    parse_joined,
    publish_joined,
)
from actlas.store.runs.joined import FORMAT_JOINED, Holding, Joined, Work

if TYPE_CHECKING:
    from actlas.store.runs.run import Run


@dataclass(frozen=True)
class Lost:
    """A shard without a record: its path, its own copy of that, and which of its units no other file holds."""

    path: Path
    record: Holding
    members: tuple[int, ...]  # numbers in the units of the file

    @property
    def units(self) -> list[int]:
        """Numbers of these units in the run."""
        return [unit_of(self.record, index) for index in self.members]

    def __str__(self) -> str:
        """Say what is in it."""
        what = f"unit {self.units[0]}" if len(self.units) == 1 else f"{len(self.units)} units"
        return f"{self.path} holds {what} of run {self.record.run}, and no record speaks of it"


def without_record(
    run_folder: Path, shards: Iterable[Path], but: Sequence[Path] = ()
) -> tuple[list[Path], list[Lost]]:
    """Return those of ``shards`` that no record speaks of: what is not needed, and what has lost its record.

    but: records that do not count. Raises DamagedStore where one is unreadable: nothing is known to be unneeded then.
    """
    shards = list(shards)
    if not shards:
        return [], []
    records = all_records(run_folder, but)
    named = {record.file for record in records}
    unnamed = [shard for shard in shards if shard.name not in named]
    held = {
        work
        for record in records
        if unnamed and is_whole(run_folder, record)
        for work in works(record)
    }
    unneeded, lost = [], []
    for shard in sorted(unnamed, reverse=True):
        record = None if is_dropped(run_folder, shard.name) else read_copy(shard)
        foreign = (
            record is not None and record.run != run_folder.name
        )  # nobody knows whether that run has it too
        members = (
            [index for index, work in enumerate(_all_works(record)) if foreign or work not in held]
            if record
            else []
        )
        if record and members:
            lost.append(Lost(shard, record, tuple(members)))
            held.update(() if foreign else _all_works(record))
        else:
            unneeded.append(shard)
    return unneeded[::-1], lost[::-1]


def read_copy(shard: Path) -> Holding | None:
    """Return the record at the end of a file; None where it has none that fits it."""
    try:
        with opened(shard) as (descriptor, found):
            tail = read_tail(descriptor, found.st_size, LARGEST_JOINED)
        if tail is None:
            return None
        if tail.kind not in (FORMAT_COMMIT, FORMAT_JOINED):
            return None
        record: Holding = (parse_commit if tail.kind == FORMAT_COMMIT else parse_joined)(
            tail.sealed, shard
        )
    except LaterRecord:  # nobody here knows what it holds
        raise
    except (DamagedStore, FileNotFoundError):
        return None
    return record if (record.hdf5, record.size) == (tail.start, found.st_size) else None


def works(record: Holding) -> frozenset[Work]:
    """Return the units that a record makes part of the run, each with its sites."""
    return (
        record.covers
        if isinstance(record, Joined)
        else frozenset([(record.unit.number, record.holds)])
    )


def unit_of(record: Holding, index: int) -> int:
    """Return the number in the run of a unit of a file."""
    return record.units[index].number if isinstance(record, Joined) else record.unit.number


def restore(run: Run, lost: Lost, aside: Path) -> tuple[list[int], list[str]]:
    """Publish the record of a shard again, for its units that are sound; return their numbers, and what is wrong with others.

    A file that somebody renamed gets its name again.
    """
    from actlas.store.maintenance.verify import check_commit, misplaced, missed_of

    problems: list[str] = []
    sound: list[int] = []
    for index in lost.members:
        commit = lost.record.commit(index) if isinstance(lost.record, Joined) else lost.record
        remedy = "remove it and extract again"
        found = [f"{lost.path} {wrong}" for wrong in misplaced(run, commit)] or check_commit(
            commit, lost.path, remedy, {}
        )[1]
        found = found or list(missed_of(run, commit))
        problems += found
        sound += [] if found else [index]
    name = lost.path.with_name(lost.record.file)
    if sound and name != lost.path:  # somebody renamed it
        if name.exists():
            return [], [
                f"{lost.path} should be called {name.name}, which is there: remove one of them"
            ]
        lost.path.rename(name)
    if sound:
        _publish(run.folder, lost.record, sound, aside)
    return [unit_of(lost.record, index) for index in sound], problems


def _publish(run_folder: Path, record: Holding, sound: Sequence[int], aside: Path) -> None:
    sync_folder(run_folder / "shards")  # whoever wrote it may have been killed before
    if isinstance(record, Commit):
        name = stem(record.unit.number, record.holds) + SUFFIX
        make_folder(run_folder / "commits")
        publish_bytes(seal(record.to_json()), run_folder / "commits" / name, aside=aside)
        return
    with packing_lock(run_folder):
        gone = frozenset(range(len(record.units))).difference(sound)
        publish_joined(run_folder, replace(record, gone=gone), aside)


def _all_works(record: Holding) -> list[Work]:
    if isinstance(record, Commit):
        return [(record.unit.number, record.holds)]
    return [(unit.number, record.holds(index)) for index, unit in enumerate(record.units)]

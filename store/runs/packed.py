"""Replacing records: by those of packed shards, and by others with fewer units.

Packing, garbage collection and repair take turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from actlas.store.errors import DamagedStore
from actlas.store.format.commit_record import CommitRecord
from actlas.store.format.schema import SUFFIX
from actlas.store.io.durable import FULL, make_folder, sync_folder
from actlas.store.io.locks import folder_lock
from actlas.store.io.safe_open import listed
from actlas.store.runs.commits import (
    COMMITS,
    PACKED,
    all_records,
    is_whole,
    publish_packed,
    read_commit,
    read_packed,
    without_doubles,
)

DROPPED = "dropped"


@contextmanager
def packing_lock(run_folder: Path) -> Iterator[None]:
    """Wait for and hold the lock of those who replace records."""
    make_folder(run_folder / PACKED)
    with folder_lock(run_folder / PACKED):
        yield


def replace_packed(run_folder: Path, old: Path, new: CommitRecord, temporary: Path) -> None:
    """Put a record with fewer units, or nothing where none is left, in the place of ``old``.

    The caller holds the lock.
    """
    if new.present:
        publish_packed(run_folder, new, temporary)
    old.unlink(missing_ok=True)
    sync_folder(old.parent)


def superseded(run_folder: Path) -> list[Path]:
    """Return the records all of whose units another has.

    A packing that was killed did not remove them.
    """
    records = [record for record in read_packed(run_folder) if is_whole(run_folder, record)]
    if not records:
        return []
    counting = {record.name for record in without_doubles(records)}
    names = {location.name for record in records for location in record.locations}
    old = [path for path in listed(run_folder / COMMITS, SUFFIX) if path.name in names]
    doubled = [record.name for record in records if record.name not in counting]
    return [*old, *(run_folder / PACKED / name for name in doubled)]


def remove_superseded(run_folder: Path) -> list[Path]:
    """Remove the records for which another stands; return them."""
    old = superseded(run_folder)
    for path in old:
        with suppress(FileNotFoundError):
            noted = path.parent.name == PACKED and (record := read_commit(path)).dropped
            with dropping(run_folder, record.file) if noted else nullcontext():
                path.unlink(missing_ok=True)
    return old


@contextmanager
def dropping(run_folder: Path, file: str) -> Iterator[None]:
    """Note that units of a file are dropped on purpose, while the last record that has them goes.

    Else a file that a kill leaves behind would be taken for one that lost its record. On a full
    disk there is no room for the note: there the file goes right after its record.
    """
    try:
        make_folder(run_folder / DROPPED)
        (run_folder / DROPPED / file).touch()
        sync_folder(run_folder / DROPPED)
    except OSError as error:
        if error.errno not in FULL:
            raise
        yield
        with suppress(DamagedStore):  # a record that cannot be read may be of this file
            if all(record.file != file for record in all_records(run_folder)):
                (run_folder / "shards" / file).unlink(missing_ok=True)
    else:
        yield


def is_dropped(run_folder: Path, file: str) -> bool:
    """Whether ``dropping`` has noted that a file is to go."""
    return (run_folder / DROPPED / file).exists()


def forget_dropped(run_folder: Path) -> None:
    """Remove the notes of files that are gone."""
    notes = listed(run_folder / DROPPED)
    if notes:  # else a power loss could take the note and leave the file
        sync_folder(run_folder / "shards")
    for note in notes:
        if not (run_folder / "shards" / note.name).exists():
            note.unlink(missing_ok=True)
    if notes:
        with suppress(OSError):  # others are there
            (run_folder / DROPPED).rmdir()


def settle(run_folder: Path, temporary: Path) -> None:
    """Remove what is superseded, and rewrite records that have a unit which a later one has.

    The caller holds the lock.
    """
    remove_superseded(run_folder)
    records = read_packed(run_folder)
    kept = {record.name: record for record in without_doubles(records)}
    for before in records:
        after = kept[before.name]  # what had none left is gone by now
        if before.dropped != after.dropped:
            replace_packed(run_folder, run_folder / PACKED / before.name, after, temporary)
    sync_folder(run_folder / COMMITS)

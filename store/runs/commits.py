"""Commit records of a run: the transaction. A shard without one does not exist.

``commits/`` has those of shards of one unit, named after their work, so the first of two writers
wins. ``packed/`` has
those of shards of many units, numbered: one with a higher number counts more, and all count more
than ``commits/``. Records never change; what is superseded is left out on reading, and removed by
whoever holds the lock next.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from actlas.store.errors import DamagedStore, StoreError
from actlas.store.format.commit_record import CommitRecord, Work, copy_bytes
from actlas.store.format.run_record import FILE
from actlas.store.format.schema import SUFFIX, seal, stem
from actlas.store.format.validation import parse_commit
from actlas.store.io.durable import publish_bytes, publish_file
from actlas.store.io.safe_open import LARGEST_PACKED, listed, read_record

if TYPE_CHECKING:
    from actlas.store.writing.shard import ShardWriter

COMMITS, PACKED = "commits", "packed"
NAME = re.compile(r"([0-9]{8})-[A-Za-z0-9-]+\.json")
ATTEMPTS = 10  # at reading a folder of records that are replaced meanwhile


def publish(run_folder: Path, writer: ShardWriter, commit: CommitRecord) -> bool:
    """Publish the finished shard of ``writer``, a copy of its record of one unit at its end.

    Its record follows.

    Returns False where another process was first. ``commit.size`` is that of the HDF5 part, all
    that is written so far.
    """
    target = run_folder / "shards" / commit.file
    if is_packed(run_folder, commit.work(0)):
        writer.drop()
        return False
    commit, tail = with_tail(commit)
    writer.close(tail)
    name = run_folder / COMMITS / (stem(*commit.work(0)) + SUFFIX)
    try:
        moved = publish_file(writer.path, target)
        if moved and publish_bytes(seal(commit.to_json()), name, temporary=writer.path.parent):
            return True
    except BaseException:
        if not name.exists():  # its shard would be taken for one that lost its commit
            with contextlib.suppress(OSError):
                target.unlink()
        raise
    if not moved:
        raise taken(target)
    target.unlink(missing_ok=True)
    return False


def publish_packed(run_folder: Path, record: CommitRecord, temporary: Path) -> Path:
    """Publish a record under the next number: it counts for its units from then on.

    The caller must hold the lock.
    """
    content = seal(record.to_json())
    if len(content) > LARGEST_PACKED:
        raise StoreError(
            f"the record of {len(record.units)} packed units has {len(content)} bytes: pack with "
            "a smaller --most"
        )
    last = max((int(path.name[:8]) for path in packed_paths(run_folder)), default=-1)
    path = run_folder / PACKED / f"{last + 1:08d}-{Path(record.file).stem}{SUFFIX}"
    if not publish_bytes(content, path, temporary=temporary):
        raise taken(path)
    return path


def taken(path: Path) -> DamagedStore:
    """Return the error for a new name that is there already."""
    return DamagedStore(
        f"{path} exists although its name is new: something else wrote to the store"
    )


def with_tail(
    record: CommitRecord, sealed: Callable[[CommitRecord], bytes] = copy_bytes
) -> tuple[CommitRecord, bytes]:
    """Return a record, whose ``size`` is that of the HDF5 part, as that of the whole file.

    What stands behind that part comes with it.

    sealed: makes the latter. The record gives the file's size, and its own length is part of that.
    """
    record = replace(record, hdf5=record.size)
    while True:  # more digits, and the record is longer
        tail = sealed(record)
        if record.size == record.hdf5 + len(tail):
            return record, tail
        record = replace(record, size=record.hdf5 + len(tail))


def packed_paths(run_folder: Path) -> list[Path]:
    """Return the records of packed shards, those that count more first."""
    paths = reversed(listed(run_folder / PACKED, SUFFIX))
    return [path for path in paths if NAME.fullmatch(path.name)]


def read_commit(path: Path) -> CommitRecord:
    """Read a commit record, a packed one as it was read before.

    Raises DamagedStore naming it, FileNotFoundError.
    """
    if path.parent.name != PACKED:
        commit = parse_commit(read_record(path), path)
        if commit.present != [0] or len(commit.units) > 1:
            raise DamagedStore(f"{path} is of {len(commit.units)} units, expected one: remove it")
        return commit
    found = path.lstat()
    return _read_packed(path, found.st_ino, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _read_packed(path: Path, _inode: int, _mtime: int) -> CommitRecord:
    return parse_commit(read_record(path, LARGEST_PACKED), path)


def read_commits(run_folder: Path) -> list[CommitRecord]:
    """Return the records that make units part of a run; raises DamagedStore.

    Those of single units are read first: what is packed meanwhile is found in one or the other.
    """
    commits = _of_units(run_folder)
    packed = without_doubles(read_packed(run_folder))
    covered = [each.covers for each in packed]
    single = [each for each in commits if not any(each.work(0) in works for works in covered)]
    return [*packed, *single]


def _of_units(run_folder: Path, but: frozenset[Path] = frozenset()) -> list[CommitRecord]:
    found = []
    for path in listed(run_folder / COMMITS, SUFFIX):
        if path not in but:
            with contextlib.suppress(FileNotFoundError):  # packed meanwhile
                found.append(read_commit(path))
    return found


def read_packed(run_folder: Path) -> list[CommitRecord]:
    """Return the records of packed shards, those that count more first; raises DamagedStore."""
    for _ in range(ATTEMPTS):
        try:
            return [read_commit(path) for path in packed_paths(run_folder)]
        except FileNotFoundError:  # replaced meanwhile by one with a higher number
            continue
    raise DamagedStore(f"{run_folder / PACKED} changes all the time: try again")


def without_doubles(packed: Sequence[CommitRecord]) -> list[CommitRecord]:
    """Return the records, each without the units that one before it has with the same sites.

    Those left empty are left out.
    """
    if len(packed) < 2:
        return list(packed)
    seen: set[Work] = set()
    kept = []
    for record in packed:
        doubled = {index for index in record.present if record.work(index) in seen}
        seen |= record.covers
        left = replace(record, dropped=record.dropped | doubled) if doubled else record
        if left.present:
            kept.append(left)
    return kept


def all_records(run_folder: Path, but: Sequence[Path] = ()) -> list[CommitRecord]:
    """Return all records, superseded ones too, those in ``but`` left out; raises DamagedStore."""
    left_out = frozenset(but)
    packed = read_packed(run_folder)
    kept = [each for each in packed if run_folder / PACKED / each.name not in left_out]
    return [*_of_units(run_folder, left_out), *kept]


def is_whole(run_folder: Path, record: CommitRecord) -> bool:
    """Whether the shard of a record is there, with all its bytes."""
    try:
        return (run_folder / "shards" / record.file).lstat().st_size == record.size
    except FileNotFoundError:
        return False


def is_packed(run_folder: Path, work: Work) -> bool:
    """Whether a packed shard has these sites of a unit.

    Then another writer was first, and its own record is gone.
    """
    return any(work in record.covers for record in read_packed(run_folder))


def was_begun(run_folder: Path) -> bool:
    """Whether there is a run, which may be damaged.

    What comes after its run.json speaks for it where that is lost.
    """
    later = ((COMMITS, SUFFIX), (PACKED, SUFFIX), ("shards", ".h5"), ("names", ""))
    return (run_folder / FILE).exists() or any(
        listed(run_folder / part, suffix) for part, suffix in later
    )

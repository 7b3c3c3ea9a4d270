"""What makes units part of a run: commits in ``commits/``, records of joined files in ``joined/``, and which of them count.

Records never change. One with a higher number counts more than those before it, and all count more than commits; what is
superseded is left out on reading, and removed by whoever holds the lock next.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from actlas.store.errors import DamagedStore, StoreError
from actlas.store.format.schema import Commit, seal, unseal
from actlas.store.io.durable import FULL, lock, make_folder, publish_bytes, sync_folder
from actlas.store.io.safe_open import LARGEST_JOINED, listed, read_record
from actlas.store.runs.commit import SUFFIX, read_commit
from actlas.store.runs.joined import FORMAT_JOINED, Holding, Joined

FOLDER, LOCK, DROPPED = "joined", "lock", "dropped"
NAME = re.compile(r"([0-9]{8})-[A-Za-z0-9-]+\.json")
ATTEMPTS = 10  # at reading a folder of records that are replaced meanwhile


def publish_joined(run_folder: Path, joined: Joined, aside: Path) -> Path:
    """Publish a record under the next number, which makes it the one that counts for its units. The caller holds the lock."""
    content = seal(joined.to_json())
    if len(content) > LARGEST_JOINED:
        raise StoreError(
            f"the record of {len(joined.units)} joined units has {len(content)} bytes: pack with a smaller --most"
        )
    last = max((int(path.name[:8]) for path in joined_paths(run_folder)), default=-1)
    path = run_folder / FOLDER / f"{last + 1:08d}-{Path(joined.file).stem}{SUFFIX}"
    if not publish_bytes(content, path, aside=aside):
        raise DamagedStore(
            f"{path} exists although its number is new: the store was written by something else"
        )
    return path


def joined_paths(run_folder: Path) -> list[Path]:
    """Return the records of joined files, those that count more first."""
    return [
        path for path in reversed(listed(run_folder / FOLDER, SUFFIX)) if NAME.fullmatch(path.name)
    ]


@lru_cache(maxsize=64)
def _read(path: Path, _inode: int, _mtime: int) -> Joined:
    return parse_joined(read_record(path, LARGEST_JOINED), path)


def parse_joined(content: bytes, path: Path) -> Joined:
    """Return the record whose sealed bytes stand in the file ``path``; raises DamagedStore naming it."""
    record = unseal(content, str(path), FORMAT_JOINED)
    try:
        return Joined.from_json(record, path.name)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError) as error:
        raise DamagedStore(
            f"{path} lacks a field or has a wrong one ({error}): remove it and extract again"
        ) from error


def read_joined(path: Path) -> Joined:
    """Read one record, or take it as it was read before; raises DamagedStore naming it, FileNotFoundError."""
    found = path.lstat()
    return _read(path, found.st_ino, found.st_mtime_ns)


def read_holdings(run_folder: Path) -> list[Holding]:
    """Return all that makes units part of a run: what is joined, and the commits that are in none of it.

    Commits first, records after: what is joined meanwhile is found in one or the other. Raises DamagedStore.
    """
    commits = [
        commit for path in listed(run_folder / "commits", SUFFIX) if (commit := _if_there(path))
    ]
    joined = without_doubles(read_records(run_folder))
    covered = [each.covers for each in joined]
    return [
        *joined,
        *(
            commit
            for commit in commits
            if not any((commit.unit.number, commit.holds) in each for each in covered)
        ),
    ]


def read_records(run_folder: Path) -> list[Joined]:
    """Return the records of joined files, those that count more first; raises DamagedStore."""
    for _ in range(ATTEMPTS):
        try:
            return [read_joined(path) for path in joined_paths(run_folder)]
        except FileNotFoundError:  # replaced meanwhile by one with a higher number
            continue
    raise DamagedStore(f"{run_folder / FOLDER} changes all the time: try again")


def _if_there(path: Path) -> Commit | None:
    try:
        return read_commit(path)
    except FileNotFoundError:
        return None


def without_doubles(joined: Sequence[Joined]) -> list[Joined]:
    """Return the records, each without the units that one before it has with the same sites; those with none left out."""
    if len(joined) < 2:
        return list(joined)
    told: set[tuple[int, frozenset[str]]] = set()
    kept = []
    for each in joined:
        here = {index: (each.units[index].number, each.holds(index)) for index in each.present}
        doubled = {index for index, work in here.items() if work in told}
        told.update(here.values())
        left = replace(each, gone=each.gone | doubled) if doubled else each
        if left.present:
            kept.append(left)
    return kept


def expand(holdings: Sequence[Holding]) -> Iterator[Commit]:
    """Yield every commit."""
    for holding in holdings:
        if isinstance(holding, Commit):
            yield holding
        else:
            yield from (holding.commit(index) for index in holding.present)


def replace_joined(run_folder: Path, old: Path, new: Joined, aside: Path) -> None:
    """Put a record with fewer units, or nothing where none is left, in the place of ``old``. The caller holds the lock."""
    if new.present:
        publish_joined(run_folder, new, aside)
    old.unlink(missing_ok=True)
    sync_folder(old.parent)


def all_records(run_folder: Path, but: Sequence[Path] = ()) -> list[Holding]:
    """Return all commits and records of joined files, superseded ones too, those in ``but`` left out; raises DamagedStore."""
    left_out = set(but)
    paths = [path for path in listed(run_folder / "commits", SUFFIX) if path not in left_out]
    commits = [commit for path in paths if (commit := _if_there(path))]
    return [
        *commits,
        *(
            each
            for each in read_records(run_folder)
            if run_folder / FOLDER / each.name not in left_out
        ),
    ]


def is_whole(run_folder: Path, record: Holding) -> bool:
    """Whether the shard of a record is there, with all its bytes."""
    try:
        return (run_folder / "shards" / record.file).lstat().st_size == record.size
    except FileNotFoundError:
        return False


def has_joined(run_folder: Path, unit: int, holds: frozenset[str]) -> bool:
    """Whether a joined file has these sites of a unit: then another writer was first, and its commit is no file any more."""
    return any((unit, holds) in joined.covers for joined in read_records(run_folder))


@contextmanager
def packing_lock(run_folder: Path) -> Iterator[None]:
    """Wait for and hold the lock of those who replace records: packing, sweeping and repair take turns."""
    make_folder(run_folder / FOLDER)
    with folder_lock(run_folder / FOLDER):
        yield


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Wait for and hold the lock of those who add to a folder one after the other."""
    place = folder / LOCK
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o644)  # a file: NFS does not lock folders
    try:
        lock(descriptor, fcntl.LOCK_EX, place)
        yield
    finally:
        os.close(descriptor)


def superseded(run_folder: Path) -> list[Path]:
    """Return the commits and records for all of which a record stands: what a packing that was killed has not yet removed."""
    records = [joined for joined in read_records(run_folder) if is_whole(run_folder, joined)]
    if not records:
        return []
    counting = {joined.name for joined in without_doubles(records)}
    names = {joined.commit_name(index) for joined in records for index in joined.present}
    old = [path for path in listed(run_folder / "commits", SUFFIX) if path.name in names]
    return [
        *old,
        *(run_folder / FOLDER / joined.name for joined in records if joined.name not in counting),
    ]


def remove_superseded(run_folder: Path) -> list[Path]:
    """Remove the commits and records for which another stands; return them."""
    old = superseded(run_folder)
    for path in old:
        with suppress(FileNotFoundError):
            noted = path.parent.name == FOLDER and (record := read_joined(path)).gone
            with dropping(run_folder, record.file) if noted else nullcontext():
                path.unlink(missing_ok=True)
    return old


@contextmanager
def dropping(run_folder: Path, file: str) -> Iterator[None]:
    """Note that the units of a file which no record holds are dropped on purpose, while the last record goes.

    Else a file that a kill leaves behind would be taken for one that lost its record. On a full disk there is no room
    for the note: there the file goes right after its record.
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
    if notes:
        sync_folder(
            run_folder / "shards"
        )  # else a power loss could take the note and leave the file
    for note in notes:
        if not (run_folder / "shards" / note.name).exists():
            note.unlink(missing_ok=True)
    if notes:
        with suppress(OSError):  # others are there
            (run_folder / DROPPED).rmdir()


def settle(run_folder: Path, aside: Path) -> None:
    """Remove what is superseded, and rewrite records that have a unit which a later one has. The caller holds the lock."""
    remove_superseded(run_folder)
    records = read_records(run_folder)
    kept = {joined.name: joined for joined in without_doubles(records)}
    for before in records:
        after = kept[before.name]  # what had none left is gone by now
        if before.gone != after.gone:
            replace_joined(run_folder, run_folder / FOLDER / before.name, after, aside)
    sync_folder(run_folder / "commits")

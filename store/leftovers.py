"""Work in progress and what is left of it: each writer has a folder that it holds a lock on for as long as it lives.

Leftovers are swept when that lock is free, that is when their owner is gone; never by age.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from actlas.store.commit import read_commits
from actlas.store.durable import make_folder
from actlas.store.opening import listed

OWNER = "owner"


@dataclass(frozen=True)
class Workspace:
    """A writer's own folder in ``runs/<id>/tmp``; ``token`` is part of the name of every shard it makes."""

    folder: Path
    token: str


@contextmanager
def workspace(run_folder: Path) -> Iterator[Workspace]:
    """Sweep what dead writers left, then hold a new folder under a lock until the block ends."""
    sweep(run_folder)
    folder, lock = _claim(run_folder / "tmp")
    try:
        yield Workspace(folder, folder.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(run_folder: Path) -> list[Path]:
    """Remove the folders and uncommitted shards of writers that are gone; return what was removed.

    Shards are listed before owners are asked and commits are read after, so a shard whose writer commits it meanwhile is kept.
    """
    shards = listed(run_folder / "shards", ".h5")
    folders = [folder for folder in listed(run_folder / "tmp") if folder.is_dir()]
    locks = {folder: _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB) for folder in folders}
    try:
        abandoned = [folder for folder, lock in locks.items() if lock is not None]
        living = {folder.name for folder, lock in locks.items() if lock is None}
        uncommitted = [shard for shard in shards if shard.stem.rsplit("-", 1)[-1] not in living]
        if uncommitted:
            committed = {commit.file for commit in read_commits(run_folder)}
            uncommitted = [shard for shard in uncommitted if shard.name not in committed]
        for shard in uncommitted:
            shard.unlink(missing_ok=True)
        for folder in abandoned:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        for lock in locks.values():
            if lock is not None:
                os.close(lock)
    return [*uncommitted, *abandoned]


def _claim(parent: Path) -> tuple[Path, int]:
    """Return a new folder in ``parent`` and the descriptor that holds its lock.

    A sweeper can take the folder between its birth and its lock for a dead writer's; then the next one is tried.
    """
    while True:
        folder = parent / secrets.token_hex(6)
        make_folder(folder)
        lock = _lock(folder, fcntl.LOCK_EX)
        if lock is not None:
            return folder, lock


def _lock(folder: Path, operation: int) -> int | None:
    """Return a descriptor that holds the folder's lock; None where another process holds it or the folder is gone.

    The system frees the lock of a process however that ended. A folder of another user counts as held.
    """
    owner = folder / OWNER
    try:
        descriptor = os.open(owner, os.O_RDWR | os.O_CREAT, 0o644)
    except (FileNotFoundError, PermissionError):
        return None
    try:
        fcntl.flock(descriptor, operation)
        if os.path.samestat(os.fstat(descriptor), owner.stat()):  # else it was swept while we waited
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None

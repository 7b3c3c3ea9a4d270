"""Work in progress and what is left of it: each writer has a folder that it holds a lock on for as long as it lives.

Leftovers are swept when that lock is free, that is when their owner is gone; never by age.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from actlas.store.durable import make_folder
from actlas.store.errors import DamagedStore
from actlas.store.holdings import committed_files, superseded
from actlas.store.opening import listed

OWNER = "owner"
UNTAKEN = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS)  # no lock is to be had: gone, or not ours to write to


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


def sweep(run_folder: Path, *, dry_run: bool = False) -> list[Path]:
    """Remove the folders and uncommitted shards of writers that are gone, and commits that a joined record stands for.

    Returns what was removed (or, with ``dry_run``, would be).

    Shards are listed before owners are asked and commits are read after, so a shard whose writer commits it meanwhile is kept.
    Raises DamagedStore, with nothing removed, where a link would lead the removal out of the run, or a commit is unreadable.
    """
    check_own(run_folder / "tmp", run_folder / "shards", run_folder / "commits", run_folder / "joined")
    doubled = superseded(run_folder)
    if not dry_run:
        for path in doubled:
            path.unlink(missing_ok=True)
    shards = listed(run_folder / "shards", ".h5")
    with _owners(run_folder) as locks:
        abandoned = [folder for folder, lock in locks.items() if lock is not None]
        living = {folder.name for folder, lock in locks.items() if lock is None}
        uncommitted = [shard for shard in shards if shard.stem.rsplit("-", 1)[-1] not in living]
        if uncommitted:
            committed = committed_files(run_folder, but=doubled)
            uncommitted = [shard for shard in uncommitted if shard.name not in committed]
        if not dry_run:
            for shard in uncommitted:
                shard.unlink(missing_ok=True)
            for folder in abandoned:
                shutil.rmtree(folder, ignore_errors=True)
    return [*uncommitted, *abandoned, *doubled]


def writers(run_folder: Path) -> list[Path]:
    """Return the folders of the writers that are at work in a run."""
    with _owners(run_folder) as locks:
        return sorted(folder for folder, lock in locks.items() if lock is None and folder.exists())


def check_own(*folders: Path) -> None:
    """Raise DamagedStore for a link in the place of a folder: what is removed through it would not be the store's."""
    for folder in folders:
        if folder.is_symlink():
            raise DamagedStore(f"{folder} is a link, wanted a folder of the store: replace it by what it points to")


@contextmanager
def _owners(run_folder: Path) -> Iterator[dict[Path, int | None]]:
    """Hold the locks of all writers' folders that are free; None stands for one that its writer holds."""
    folders = [folder for folder in (run_folder / "tmp").glob("*") if folder.is_dir() and not folder.is_symlink()]
    locks = {folder: _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB) for folder in folders}
    try:
        yield locks
    finally:
        for lock in locks.values():
            if lock is not None:
                os.close(lock)


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
    except OSError as error:
        if error.errno not in UNTAKEN:
            raise
        return None
    try:
        fcntl.flock(descriptor, operation)
        if os.path.samestat(os.fstat(descriptor), owner.stat()):  # else it was swept while we waited
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None

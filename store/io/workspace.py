"""Work in progress and what is left of it.

Each writer has a folder that it holds a lock on for as long as it lives.

Garbage is collected when that lock is free, that is when its owner has ended; never by age.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from actlas.store.errors import DamagedStore, StoreError
from actlas.store.io.durable import lock, make_folder
from actlas.store.io.safe_open import listed
from actlas.store.maintenance.lost import Lost, restore, without_record
from actlas.store.runs.commits import COMMITS, PACKED
from actlas.store.runs.packed import DROPPED, forget_dropped, remove_superseded, superseded

OWNER = "owner"
PARTS = ("tmp", "shards", COMMITS, PACKED, DROPPED)  # of a run, that removals go through
# no lock is to be had: gone, or not ours to write to
UNTAKEN = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class Workspace:
    """A writer's own folder in ``runs/<id>/tmp``.

    ``token`` is part of the name of every shard it makes.
    """

    folder: Path
    token: str
    restored: tuple[int, ...] = ()  # units that were there and had lost their record


@contextmanager
def workspace(run_folder: Path) -> Iterator[Workspace]:
    """Remove what dead writers left, then hold a new folder under a lock until the block ends.

    Units whose record is lost, and those that a writer was killed over just before it committed
    them, get their record.
    """
    _, lost = _collected(run_folder)
    folder, held = _claim(run_folder / "tmp")
    try:
        restored = restore_lost(run_folder, folder)[0] if lost else []
        if restored:
            collect_garbage(run_folder)
        yield Workspace(folder, folder.name, tuple(restored))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)
        _remove_empty(folder)


def collect_garbage(run_folder: Path, *, dry_run: bool = False) -> list[Path]:
    """Remove the folders and uncommitted shards of writers that have ended.

    Records that another one replaces are removed too.

    Returns what was removed (or, with ``dry_run``, would be).

    Shards are listed before owners are asked and commits are read after, so a shard whose writer
    commits it meanwhile is kept.
    Raises DamagedStore, with nothing removed, where a link would lead the removal out of the run,
    or a commit is unreadable.
    """
    return _collected(run_folder, dry_run=dry_run)[0]


def _collected(run_folder: Path, *, dry_run: bool = False) -> tuple[list[Path], list[Lost]]:
    """Do ``collect_garbage``, and return also the shards that stay because their record is lost."""
    check_own(*(run_folder / part for part in PARTS))
    doubled = superseded(run_folder) if dry_run else remove_superseded(run_folder)
    # order matters: shards, then owners, then commits. Whoever commits between two of these is
    # seen as living or as committed, and keeps the shard either way
    shards = listed(run_folder / "shards", ".h5")
    with _owners(run_folder) as locks:
        abandoned = [folder for folder, held in locks.items() if held is not None]
        living = {folder.name for folder, held in locks.items() if held is None}
        uncommitted, lost = without_record(
            run_folder, [each for each in shards if token_of(each) not in living], doubled
        )
        # their folders say that a kill came before the commit
        needed = {token_of(each.path) for each in lost}
        abandoned = [folder for folder in abandoned if folder.name not in needed]
        if not dry_run:
            # under the locks of their owners, so that no new writer can hold one of these folders
            for shard in uncommitted:
                shard.unlink(missing_ok=True)
            for folder in abandoned:
                shutil.rmtree(folder, ignore_errors=True)
    if not dry_run:
        forget_dropped(run_folder)
        for folder in abandoned:
            _remove_empty(folder)
    return [*uncommitted, *abandoned, *doubled], lost


def lost_shards(run_folder: Path) -> tuple[list[Lost], set[str]]:
    """Return the shards that have lost their record, and the tokens of writers that were killed.

    Raises DamagedStore.
    """
    check_own(*(run_folder / part for part in PARTS))
    shards = listed(run_folder / "shards", ".h5")
    with _owners(run_folder) as locks:
        living = {folder.name for folder, held in locks.items() if held is None}
        killed = {folder.name for folder in locks if folder.name not in living}
    return without_record(run_folder, [each for each in shards if token_of(each) not in living])[
        1
    ], killed


def restore_lost(
    run_folder: Path, temporary: Path
) -> tuple[list[int], list[tuple[Lost, list[str]]]]:
    """Publish records that are lost.

    Returns the units that are there again, and what could not be restored, with the reason.
    """
    from actlas.store.runs.run import Run

    lost, _ = lost_shards(run_folder)
    restored: list[int] = []
    left: list[tuple[Lost, list[str]]] = []
    if lost:
        run = Run(run_folder)
        for each in lost:
            units, problems = restore(run, each, temporary)
            restored += units
            left += [(each, problems)] if problems else []
    return restored, left


def token_of(shard: Path) -> str:
    """Return the token of the writer that made a shard."""
    return shard.stem.rsplit("-", 1)[-1]


def writers(run_folder: Path) -> list[Path]:
    """Return the folders of the writers that are at work in a run."""
    with _owners(run_folder) as locks:
        return sorted(folder for folder, held in locks.items() if held is None and folder.exists())


def check_own(*folders: Path) -> None:
    """Raise DamagedStore for a link in the place of a folder.

    What is removed through it would not be the store's.
    """
    for folder in folders:
        if folder.is_symlink():
            raise DamagedStore(
                f"{folder} is a link, expected a folder of the store: replace it by what it "
                "points to"
            )


def _remove_empty(folder: Path) -> None:
    """Remove a folder whose lock is closed by now.

    FUSE keeps files that are open, and so the folder they are in.
    """
    with suppress(OSError):  # gone already, or another's by now
        folder.rmdir()


@contextmanager
def _owners(run_folder: Path) -> Iterator[dict[Path, int | None]]:
    """Hold the locks of all writers' folders that are free.

    A folder whose writer holds its lock has None.
    """
    folders = [
        folder
        for folder in (run_folder / "tmp").glob("*")
        if folder.is_dir() and not folder.is_symlink()
    ]
    locks: dict[Path, int | None] = {}
    try:
        for folder in folders:
            locks[folder] = _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield locks
    finally:
        for held in locks.values():
            if held is not None:
                os.close(held)


def _claim(parent: Path) -> tuple[Path, int]:
    """Return a new folder in ``parent`` and the descriptor that holds its lock.

    A sweeper can take the folder between its birth and its lock for a dead writer's; then the next
    one is tried.
    """
    while True:
        folder = parent / secrets.token_hex(6)
        make_folder(folder)
        try:
            held = _lock(folder, fcntl.LOCK_EX)
        except StoreError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if held is not None:
            return folder, held


def _lock(folder: Path, operation: int) -> int | None:
    """Return a descriptor that holds the folder's lock.

    None if another process holds it, or the folder is no longer there.

    The system frees the lock of a process however that ended. A folder of another user counts as
    held.
    """
    owner = folder / OWNER
    try:
        # a file in the folder and not the folder itself: NFS does not lock folders
        descriptor = os.open(owner, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        if error.errno not in UNTAKEN:
            raise
        return None
    try:
        lock(descriptor, operation, owner)
        # else it was removed while we waited
        if os.path.samestat(os.fstat(descriptor), owner.stat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None

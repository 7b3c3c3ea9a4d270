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

from actlas.store.commit import SUFFIX, read_commit
from actlas.store.durable import make_folder

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
    token = secrets.token_hex(6)
    folder = run_folder / "tmp" / token
    make_folder(folder)
    with (folder / OWNER).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield Workspace(folder, token)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep(run_folder: Path) -> list[Path]:
    """Remove the folders and uncommitted shards of writers that are gone; return what was removed.

    Shards are listed before owners are asked and commits are read after, so a shard whose writer commits it meanwhile is kept.
    """
    shards = list((run_folder / "shards").glob("*.h5"))
    abandoned = [folder for folder in (run_folder / "tmp").iterdir() if not _alive(folder)]
    living = {folder.name for folder in (run_folder / "tmp").iterdir()} - {folder.name for folder in abandoned}
    uncommitted = [shard for shard in shards if shard.stem.rsplit("-", 1)[-1] not in living]
    if uncommitted:
        committed = {read_commit(path).file for path in (run_folder / "commits").glob(f"*{SUFFIX}")}
        uncommitted = [shard for shard in uncommitted if shard.name not in committed]
    for shard in uncommitted:
        shard.unlink(missing_ok=True)
    for folder in abandoned:
        shutil.rmtree(folder, ignore_errors=True)
    return [*uncommitted, *abandoned]


def _alive(folder: Path) -> bool:
    """Whether a living process holds the folder's lock; the system frees it however the process ended."""
    try:
        descriptor = os.open(folder / OWNER, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False

"""Locks on folders, for writers that take turns."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actlas.store.io.durable import lock

LOCK = "lock"


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

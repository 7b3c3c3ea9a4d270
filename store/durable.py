"""Durable files: written aside, synced, then linked to their name without overwriting; the basis of every promise.

A name appears only when its content is on the disk, and it never changes its content afterwards.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

READ_ONLY = 0o444


@contextlib.contextmanager
def naming(place: Path) -> Iterator[None]:
    """Add ``place`` to an OSError that does not say what it is about: of a descriptor the system knows no name."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(place)
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with naming(folder):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create ``folder`` and its parents, each synced into the one above it."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(exist_ok=True)
        sync_folder(place.parent)


def publish_file(aside: Path, name: Path) -> bool:
    """Move the synced file ``aside`` to ``name``; return False, with ``aside`` removed, where ``name`` is taken.

    Link and unlink, because a plain rename would overwrite silently.
    """
    aside.chmod(READ_ONLY)
    try:
        os.link(aside, name)
    except FileExistsError:
        return False
    finally:
        aside.unlink()
    sync_folder(name.parent)
    return True


def publish_bytes(content: bytes, name: Path, aside: Path) -> bool:
    """Write ``content`` in the folder ``aside``, sync it and publish it as ``name``; False where ``name`` is taken."""
    draft = aside / f"{name.name}.{secrets.token_hex(8)}"
    try:
        with naming(draft), draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return publish_file(draft, name)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()


def reserve(descriptor: int, size: int) -> None:
    """Give ``size`` bytes of disk to the open file, so that later writes cannot run out of space.

    Raises OSError (ENOSPC, EDQUOT, EFBIG) before anything is written. Where the system has no ``posix_fallocate``
    (macOS) the file is only extended, and a full disk shows at the write: an error as well, just later.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)

"""Files that are replaced as a whole.

Written to a temporary file, synced, then renamed over the older ones.

Unlike what is in a store, a result may be made again. Whoever looks finds the old file or the new
one, and after a failure the old one. A draft is locked (``flock``) while its writer lives, so that
the next one can remove those of the dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

import xxhash

from actlas.store.io.durable import make_folder, sync_folder

DRAFT = re.compile(r"\..+\.[0-9a-f]{8}\.draft")


class Replacement:
    """New files of ``folder``, which take their names together; see ``replacing``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._drafts: list[tuple[int, Path, str]] = []

    def add(self, name: str, pieces: Iterable[bytes | memoryview]) -> str:
        """Write a temporary file, piece by piece, and sync it.

        Return the XXH3-128 of all its bytes.

        Raises OSError, with the file's final path, where it cannot be written.
        """
        digest = xxhash.xxh3_128()
        with _naming(self.folder / name):
            descriptor, draft = _locked_draft(self.folder, name)
            self._drafts.append((descriptor, draft, name))
            for piece in pieces:
                digest.update(piece)
                # os.write may take less than it is given
                view = memoryview(piece).cast("B")
                while view:
                    view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        return str(digest.hexdigest())

    def publish(self) -> None:
        """Give all files their names, in the order in which they were added, over older ones."""
        for _, draft, name in self._drafts:
            with _naming(self.folder / name):
                draft.replace(self.folder / name)
        sync_folder(self.folder)

    def close(self) -> None:
        """Remove the drafts that did not get their names, and let go of all."""
        for descriptor, draft, _ in self._drafts:
            with contextlib.suppress(FileNotFoundError):
                draft.unlink()
            os.close(descriptor)
        self._drafts.clear()


@contextlib.contextmanager
def replacing(folder: Path) -> Iterator[Replacement]:
    """Make ``folder`` and yield what takes its new files.

    They get their names at the end, or after an error none does.
    """
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    make_folder(folder)
    _sweep(folder)
    replacement = Replacement(folder)
    try:
        yield replacement
        replacement.publish()
    except BaseException:
        replacement.close()
        for place in new:  # the deepest first; one that holds something stays
            with contextlib.suppress(OSError):
                place.rmdir()
        raise
    finally:
        replacement.close()


@contextlib.contextmanager
def _naming(place: Path) -> Iterator[None]:
    """Let an OSError be about ``place``.

    A user knows nothing of its draft or a descriptor.
    """
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(place), None
        raise


def _locked_draft(folder: Path, name: str) -> tuple[int, Path]:
    while True:
        draft = folder / f".{name}.{secrets.token_hex(4)}.draft"
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        # a file system without locks: nobody removes files there either
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return descriptor, draft
        os.close(descriptor)  # removed in the moment before it was locked


def _sweep(folder: Path) -> None:
    """Remove the drafts of writers that were killed."""
    # a draft whose lock is free has no living writer; one that is locked raises, and stays
    for entry in os.scandir(folder):
        if DRAFT.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            with contextlib.suppress(OSError):
                descriptor = os.open(
                    entry.path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                )
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    Path(entry.path).unlink()
                finally:
                    os.close(descriptor)

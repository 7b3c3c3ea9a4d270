"""Paths of what lies on the web: ``https://…``, ``http://…`` and ``s3://…``.

A ``RemotePath`` is a ``Path`` as far as its names go, so that a store is walked as on a disk. What
would touch a disk with it raises: writing, locks and libraries that open files stay local.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Generator
from fnmatch import fnmatchcase
from pathlib import Path, PosixPath
from typing import Any, Self

from actlas.store.errors import UsageError
from actlas.store.remote import listing, objects

SCHEMES = ("http", "https", "s3")
URL = re.compile(rf"({'|'.join(SCHEMES)})://[^/]+(/.*)?", re.DOTALL)


def is_url(given: object) -> bool:
    """Whether a path as a user typed it lies on the web."""
    return isinstance(given, RemotePath) or bool(URL.fullmatch(str(given)))


def remote_path(url: str) -> RemotePath:
    """Return the path of a URL; raises UsageError for one with a query, which names no folder."""
    if "?" in url or "#" in url:
        raise UsageError(f"{url}: expected a plain URL, without ? and #")
    return RemotePath(f"/{url.rstrip('/')}")


class RemotePath(PosixPath):
    """A place on the web, read only: ``/https:/host/store`` to Python, its URL to people."""

    def __str__(self) -> str:
        """Return the URL."""
        root, *rest = self.parts or ("",)
        if root != "/" or len(rest) < 2:
            return super().__str__()
        return f"{rest[0]}//{'/'.join(rest[1:])}"

    def __fspath__(self) -> str:
        """Raise UsageError: the system would take the URL for a file of that name."""
        raise UsageError(
            f"{self} lies on the web and is only read: copy it to a disk, or give a local path"
        )

    def absolute(self) -> Self:
        """Return it as it is."""
        return self

    def resolve(self, strict: bool = False) -> Self:
        """Return it as it is."""
        return self

    def is_symlink(self) -> bool:
        """Return False: nothing there leads elsewhere."""
        return False

    def is_file(self, **_: Any) -> bool:
        """Whether an object is there."""
        return listing.size_of(str(self)) is not None

    def is_dir(self, **_: Any) -> bool:
        """Whether there is something below it."""
        return bool(listing.names_in(str(self)))

    def exists(self, **_: Any) -> bool:
        """Whether an object is there, or something below it."""
        return self.is_file() or self.is_dir()

    def iterdir(self) -> Generator[Self, None, None]:
        """Yield what is directly below it."""
        return (self / name for name in listing.names_in(str(self)))

    def glob(self, pattern: str) -> Generator[Self, None, None]:
        """Yield what is directly below it and matches."""
        return (path for path in self.iterdir() if fnmatchcase(path.name, pattern))

    def lstat(self) -> os.stat_result:
        """Return mode, size and, for the inode, what distinguishes it from a later object.

        Raises FileNotFoundError.
        """
        found = objects.known(str(self))
        kind = stat.S_IFREG | 0o444
        return os.stat_result((kind, hash(found.etag), 0, 1, 0, 0, found.size, 0, 0, 0))


def as_path(given: str | Path) -> Path:
    """Return ``given`` as a path: a remote one where it is a URL."""
    if isinstance(given, str) and is_url(given):
        return remote_path(given)
    return Path(given)

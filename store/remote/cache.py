"""Blocks that were read from the web, kept on the disk: ``$XDG_CACHE_HOME/actlas/blocks``.

A block is kept under its object's URL and its own checksum, and compared with that when it is taken
out, so damage costs a request and never a number. ``ACTLAS_BLOCK_CACHE`` limits the bytes (0: none
are kept); those used longest ago go first. What cannot be kept is not, and that is no error.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from pathlib import Path

import xxhash

from actlas.store.errors import DamagedStore, UsageError
from actlas.store.remote import objects

LIMIT_VARIABLE = "ACTLAS_BLOCK_CACHE"
LIMIT = 10_000_000_000  # bytes
ROOM = 0.9  # of the limit that is left when the oldest had to go

_held: dict[Path, int] = {}  # bytes of a cache as last counted, by this process


def block(url: str, size: int, offset: int, count: int, checksum: str, what: str) -> bytes:
    """Return the bytes of a block, from the cache or by one request, compared with ``checksum``.

    size: of the object, as its commit says. what: names the block in an error. Raises DamagedStore
    where the object is missing or altered, StoreError where it cannot be read.
    """
    kept = _place(url, checksum, count)
    content = b"" if kept is None else _kept(kept, count, checksum)
    if content:
        return content
    try:
        found = objects.known(url).size
        if found != size:
            raise DamagedStore(f"{url} has {found} bytes, its commit says {size}")
        content = objects.ranged(url, offset, count)
    except FileNotFoundError as error:
        from actlas.store.remote.listing import stale

        raise stale(url) from error
    if xxhash.xxh3_64_hexdigest(content) != checksum:
        raise DamagedStore(f"{url}: {what} was altered (checksum differs): copy the store again")
    if kept is not None:
        _keep(kept, content)
    return content


def folder() -> Path | None:
    """Return the folder of the cache, None where there is no home to keep it in."""
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # neither HOME nor an entry in passwd, as in a container
        return None
    return home.absolute() / "actlas" / "blocks"


def limit() -> int:
    """Return how many bytes are kept; raises UsageError where the variable says no number."""
    given = os.environ.get(LIMIT_VARIABLE, "")
    if not given:
        return LIMIT
    if not given.isascii() or not given.isdigit():
        raise UsageError(f"{LIMIT_VARIABLE}={given}: expected a number of bytes, such as {LIMIT}")
    return int(given)


def _place(url: str, checksum: str, count: int) -> Path | None:
    """Return where a block is kept, None where none is.

    By its object, because XXH3 is no protection against a store made to collide with another.
    """
    root = folder()
    if root is None:
        return None
    return root / hashlib.sha256(url.encode()).hexdigest()[:32] / f"{checksum}-{count}"


def _kept(place: Path, count: int, checksum: str) -> bytes:
    """Return a block that is kept, empty where it is not there or damaged."""
    with contextlib.suppress(OSError):
        content = place.read_bytes()
        if len(content) == count and xxhash.xxh3_64_hexdigest(content) == checksum:
            os.utime(place)  # used now
            return content
        place.unlink()
    return b""


def _keep(place: Path, content: bytes) -> None:
    most, root = limit(), place.parents[1]
    if len(content) > most:
        return
    draft = place.with_name(f".{secrets.token_hex(8)}.draft")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(place)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        return
    if root not in _held:
        _held[root] = sum(size for _, size, _ in _files(root))
    else:
        _held[root] += len(content)
    if _held[root] > most:
        _make_room(root, most)


def _make_room(root: Path, most: int) -> None:
    """Remove the blocks used longest ago."""
    files = sorted(_files(root))
    held = sum(size for _, size, _ in files)
    for _, size, path in files:
        if held <= most * ROOM:
            break
        with contextlib.suppress(OSError):
            path.unlink()
            held -= size
    _held[root] = held


def _files(root: Path) -> list[tuple[float, int, Path]]:
    found = []
    for path in root.rglob("*"):
        with contextlib.suppress(OSError):
            status = path.stat()
            if path.is_file():
                found.append((status.st_mtime, status.st_size, path))
    return found

"""Opening what somebody else may have made.

Files that are files, folders that are folders, records and lists of bounded size.

A store can come from anywhere. Nothing in it makes a reader follow a link out of it, wait for a
pipe, or fill the memory.
"""

from __future__ import annotations

import gc
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from actlas.store.errors import ActlasError, DamagedStore, UsageError
from actlas.store.io.durable import naming
from actlas.store.remote import listing, objects
from actlas.store.remote.path import RemotePath, as_path, is_url

Read = Callable[[int, int], bytes]  # (bytes, offset) → at most so many from there on

LARGEST_RECORD = 4 << 20  # bytes of a JSON file; a run of 150 000 units needs less
# bytes of the record of a packed shard: some ten thousand units of many sites
LARGEST_PACKED = 64 << 20
MOST_ENTRIES = 1 << 18  # files of a folder
# a file larger than this has its bytes on the disk, or a thousandth of them compressed
SPARSE_FROM, SPAREST = (64 << 20, 1000)


def placed(path: str | Path) -> Path:
    """Return ``path`` as it stays right wherever the process goes.

    It is absolute, with ``~`` replaced by the home folder.

    Raises UsageError where the user has no home folder.
    """
    try:
        return path if isinstance(path, RemotePath) else user_path(path).absolute()
    except FileNotFoundError as error:
        raise UsageError(f"{path}: the working directory is gone: give an absolute path") from error


def placed_local(path: str | Path) -> Path:
    """Return the path of a store to be written, as ``placed`` does; UsageError for a URL."""
    place = placed(path)
    if isinstance(place, RemotePath):
        raise UsageError(f"{place} lies on the web and is only read: give a local --store")
    return place


def placed_store(path: str | Path) -> Path:
    """Return the path of a store as ``placed`` does; one on the web is looked at again."""
    place = placed(path)
    if isinstance(place, RemotePath):
        listing.open_root(str(place))
    return place


@contextmanager
def opened(path: Path) -> Iterator[tuple[int, os.stat_result]]:
    """Open a regular file.

    Yield its descriptor and status. Raises FileNotFoundError, DamagedStore for anything else.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if is_file(path) else -1
    if descriptor < 0:
        raise DamagedStore(f"{path} is a link or no file at all, expected a file")
    try:
        with naming(path):
            found = os.fstat(descriptor)
            if found.st_size > SPARSE_FROM and found.st_blocks * 512 * SPAREST < found.st_size:
                raise DamagedStore(
                    f"{path} claims {found.st_size} bytes, the disk has {found.st_blocks * 512}"
                )
            yield descriptor, found
    finally:
        os.close(descriptor)


@contextmanager
def readable(path: Path) -> Iterator[tuple[Read, int]]:
    """Open a regular file, on a disk or on the web.

    Yield what reads so many bytes from an offset on, as ``os.pread``, and its size. Raises
    FileNotFoundError, DamagedStore for anything else.
    """
    if isinstance(path, RemotePath):
        yield partial(objects.pread, str(path)), objects.known(str(path)).size
        return
    with opened(path) as (descriptor, found):
        yield partial(os.pread, descriptor), found.st_size


def is_file(path: Path) -> bool:
    """Whether ``path`` is itself a regular file, not a link to one.

    Raises FileNotFoundError where nothing is.
    """
    return stat.S_ISREG(path.lstat().st_mode)


def read_record(path: Path, largest: int = LARGEST_RECORD) -> bytes:
    """Return the content of a small file.

    Raises FileNotFoundError, DamagedStore for what is none.
    """
    if isinstance(path, RemotePath):
        return listing.record(str(path), largest)
    with opened(path) as (descriptor, found):
        if found.st_size > largest:
            raise DamagedStore(
                f"{path} has {found.st_size} bytes, no record has more than {largest}"
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(largest)


def read_input(path: Path, largest: int, error: type[ActlasError] = UsageError) -> bytes:
    """Return the content of a file that the user named or that lies beside one.

    Pipes, devices and giants are refused.

    Links are followed, as a model cache is made of them. Raises FileNotFoundError and
    PermissionError as ``open`` does, and ``error`` for what is not a regular file or has more than
    ``largest`` bytes.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with naming(path), os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise error(
                f"{path} is not a regular file: expected one with at most {largest:,} bytes"
            )
        if found.st_size > largest:
            raise error(f"{path} has {found.st_size:,} bytes, expected at most {largest:,}")
        return file.read(largest)


def user_path(given: str | Path) -> Path:
    """Return a path as a user typed it, ``~`` expanded.

    Raises UsageError for a NUL in it, and where the system knows no home folder.
    """
    if is_url(given):
        return as_path(given)
    if "\0" in str(given):
        raise UsageError("a path has a NUL character: expected one without")
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"{given}: there is no home folder here (HOME is not set): give the whole path"
        ) from error


def refuse_links(*places: Path) -> None:
    """Raise DamagedStore for a folder of a store that is a link.

    It would make somebody else's files part of it.
    """
    for place in places:
        if place.is_symlink():
            raise DamagedStore(
                f"{place} is a link: put the folder itself there, or link the whole store"
            )


def listed(folder: Path, suffix: str = "") -> list[Path]:
    """Return what ends in ``suffix`` in a folder, sorted; nothing where it is missing.

    Raises DamagedStore for a link in its place or too many entries, PermissionError where it may
    not be read.
    """
    if isinstance(folder, RemotePath):
        found = [name for name in listing.names_in(str(folder)) if name.endswith(suffix)]
        listing.read_soon(str(folder), found)
        return [folder / name for name in found]
    refuse_links(folder)
    names: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                names.append(entry.name)
                if len(names) > MOST_ENTRIES:
                    raise DamagedStore(
                        f"{folder} has more than {MOST_ENTRIES} entries: no store has so many"
                    )
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names) if name.endswith(suffix)]


@contextmanager
def uncollected() -> Iterator[None]:
    """Hold Python's search for cycles off while the records of a run, become objects.

    A run may have 10⁵ units.

    They have none, and each search looks at all of those made so far: opening cost more than its
    units.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

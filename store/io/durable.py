"""Durable files: written to a temporary file, synced, then moved to their name without overwriting.

This is the basis of every promise.

A name appears only when its content is on the disk, and it never changes its content afterwards.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from actlas.store.errors import StoreError

READ_ONLY = 0o444
UNSUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
# what systems say of links on exFAT, FAT and FUSE
UNLINKED = (*UNSUPPORTED, errno.EPERM, errno.EMLINK)
UNSYNCED = (*UNSUPPORTED, errno.EINVAL)  # … of the sync of a folder
# … of locks: Lustre without `flock`, NFS without its lock daemon
UNLOCKED = (*UNSUPPORTED, errno.ENOLCK)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
AT_FDCWD, RENAME_NOREPLACE = -100, 1
TMPFS = 0x01021994  # of Linux's statfs
LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def naming(place: Path) -> Iterator[None]:
    """Add ``place`` to an OSError that does not say what it is about.

    The system knows no name of a descriptor.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(place)
        raise


def remedy_of(error: OSError) -> str:
    """Return what to do about an error while something was written."""
    return (
        "make room or use another --store"
        if error.errno in FULL
        else "see to the disk, then run the same command again"
    )


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a power loss.

    Some file systems cannot sync folders at all.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with naming(folder):
            os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSYNCED:
            raise
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create ``folder`` and its parents, each synced into the one above it."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(exist_ok=True)
        sync_folder(place.parent)


def lock(descriptor: int, operation: int, place: Path) -> None:
    """Do ``flock`` on an open file, ``place``.

    Raises BlockingIOError, and StoreError where the file system has no locks.

    Without them a writer could remove what another is writing, so there is no going on.
    """
    try:
        fcntl.flock(descriptor, operation)
    except OSError as error:
        if error.errno not in UNLOCKED:
            raise
        raise StoreError(
            f"{place} cannot be locked ({error.strerror}): its file system keeps no locks, and "
            "without them writers remove "
            "each other's work: mount it with locks (Lustre: -o flock), or write to a store on a "
            "local disk and copy that"
        ) from error


def set_mode(path: Path, mode: int) -> None:
    """Set the mode of a file where its file system has modes, which FAT and some of FUSE do not."""
    try:
        path.chmod(mode)
    except OSError as error:
        if error.errno not in UNLINKED:
            raise


def publish_file(temporary: Path, name: Path, *, keep: bool = False) -> bool:
    """Move the synced file ``temporary`` to ``name``.

    Returns False if ``name`` is taken; ``temporary`` is removed then, unless ``keep``.

    Link and unlink, because a plain rename would overwrite silently; without hard links, see
    ``_move``.
    """
    try:
        set_mode(temporary, READ_ONLY)
        try:
            os.link(temporary, name)
        except OSError as error:
            if error.errno not in UNLINKED:
                raise
            _move(temporary, name)
    except FileExistsError:
        if not keep:
            temporary.unlink()
        return False
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    temporary.unlink(missing_ok=True)
    sync_folder(name.parent)
    return True


def publish_folder(temporary: Path, name: Path) -> bool:
    """Move the synced folder ``temporary`` to ``name``; False if that is taken."""
    try:
        _move(temporary, name)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        return False
    sync_folder(name.parent)
    return True


def _move(temporary: Path, name: Path) -> None:
    """Rename without overwriting.

    The system does it, or, where it cannot, we do while others who publish there are locked out.

    Raises FileExistsError where ``name`` is taken, StoreError where the file system has no locks
    either.
    """
    if hasattr(LIBC, "renameat2"):
        if not LIBC.renameat2(
            AT_FDCWD, os.fsencode(temporary), AT_FDCWD, os.fsencode(name), RENAME_NOREPLACE
        ):
            return
        code = ctypes.get_errno()
        if code not in (*UNSUPPORTED, errno.EINVAL):
            raise OSError(code, os.strerror(code), str(name))
    descriptor = os.open(name.parent, os.O_RDONLY)
    try:
        lock(descriptor, fcntl.LOCK_EX, name.parent)
        if os.path.lexists(name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(name))
        temporary.rename(name)
    finally:
        os.close(descriptor)


def publish_bytes(content: bytes, name: Path, temporary: Path) -> bool:
    """Write ``content`` in the folder ``temporary``, sync it and publish it as ``name``.

    Returns False if ``name`` is taken.
    """
    # drafts lie in the writer's own folder, which is removed with it
    draft = temporary / f"{name.name}.{secrets.token_hex(8)}"
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

    Raises OSError (ENOSPC, EDQUOT, EFBIG) before anything is written. Where the file system cannot
    reserve (FUSE, NFS 3, macOS) the file is only extended, and a full disk shows at the write: an
    error as well, just later. So it is in memory (tmpfs), where to reserve is to fill every page
    with zeros; there the room is only asked for.
    """
    if _in_memory(descriptor):
        room = os.fstatvfs(descriptor)
        # a tmpfs without a limit has no blocks at all
        if room.f_blocks and room.f_bavail * room.f_frsize < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.truncate(descriptor, size)
        return
    try:
        if _can_reserve(descriptor):
            os.posix_fallocate(descriptor, 0, size)
            return
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    os.truncate(descriptor, size)


def _in_memory(descriptor: int) -> bool:
    """Whether a file lies on tmpfs, by the first field of Linux's ``statfs``."""
    if not sys.platform.startswith("linux") or not hasattr(LIBC, "fstatfs64"):
        return False
    found = (ctypes.c_long * 32)()  # of 15 fields
    return not LIBC.fstatfs64(descriptor, found) and found[0] == TMPFS


def _can_reserve(descriptor: int) -> bool:
    """Whether the file system reserves.

    Glibc's ``posix_fallocate`` does not say: it would write a byte to every page.
    """
    if not hasattr(os, "posix_fallocate") or not hasattr(LIBC, "fallocate64"):
        return hasattr(os, "posix_fallocate")
    # mode 0 of one byte: supported or not is all that is asked, the file is longer anyway
    nothing, one = ctypes.c_int64(0), ctypes.c_int64(1)
    return (
        not LIBC.fallocate64(descriptor, 0, nothing, one) or ctypes.get_errno() not in UNSUPPORTED
    )

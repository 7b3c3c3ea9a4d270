"""Digests of weight files, remembered in the user's cache folder.

A digest is used for as long as its file cannot have changed unseen.

A digest counts where path, device, inode, size, both times of change and a sample of the content
are what they were. It is neither written nor used where times say little: on images and file
systems that make up times, and for a file changed a moment ago. Before a run is written the weights
are hashed in full anyway.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

import xxhash

from actlas.pipeline.models.files.tensor_files import TensorFile

SETTLED_SECONDS = 10.0  # two changes within the steps of a clock show the same time
SAMPLES, SAMPLE_BYTES = 64, 4096
#: file systems whose times of change are set by the kernel or the server, never by who made the
#: files
KEEPS_TIMES = (
    *("ext2", "ext3", "ext4", "xfs", "btrfs", "bcachefs", "f2fs", "zfs", "tmpfs", "overlay"),
    *("nfs", "nfs4", "ceph", "lustre", "gpfs"),
)
MOUNTS = Path("/proc/self/mountinfo")


def tensor_digests(file: TensorFile) -> dict[str, str]:
    """Return name → digest of every tensor of ``file``: remembered, or of all its bytes."""
    entry = _entry(file) if _times_tell(file) else None
    if entry is not None and (found := _read(entry, _key(file), file.entries)):
        return found
    begun = time.time()
    digests = {name: file.digest(name) for name in file.entries}
    remember(file, digests, begun)
    return digests


def remember(file: TensorFile, digests: Mapping[str, str], begun: float) -> None:
    """Keep the digests of ``file``, which was hashed in full since ``begun``.

    They replace older ones.

    begun: as ``time.time`` gives it. Where the times of the file say too little they are dropped.
    """
    entry = _entry(file)
    if entry is None:
        return
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, nothing else
        if not (_times_tell(file) and _settled(file, begun)):
            entry.unlink(missing_ok=True)
            return
        entry.parent.mkdir(parents=True, exist_ok=True)
        draft = entry.with_suffix(f".{secrets.token_hex(4)}")
        draft.write_text(json.dumps({"key": _key(file), "tensors": dict(digests)}))
        draft.replace(entry)


def _read(entry: Path, key: str, names: Mapping[str, object]) -> dict[str, str] | None:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        record = json.loads(entry.read_bytes())
        tensors = {name: str(digest) for name, digest in record["tensors"].items()}
        if record["key"] == key and tensors.keys() == names.keys():
            return tensors
    return None


def _entry(file: TensorFile) -> Path | None:
    """Return the place of a file's record; None where there is no home to keep it in."""
    cache = cache_folder()
    if cache is None:
        return None
    place = hashlib.sha256(str(file.path.resolve()).encode()).hexdigest()[:32]
    return cache / "actlas" / "weights" / f"{place}.json"


def cache_folder() -> Path | None:
    """Return the user's folder for caches; None where there is no home to keep it in."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # neither HOME nor an entry in passwd, as in a container
        return None


def _key(file: TensorFile) -> str:
    status = file.status
    times = (status.st_mtime_ns, status.st_ctime_ns)
    place = (str(file.path.resolve()), status.st_dev, status.st_ino, status.st_size)
    return json.dumps([*place, *times, _sample(file)])


def _sample(file: TensorFile) -> str:
    """Return the XXH3-128 of the header and of SAMPLES pieces spread over the file.

    The end of the file is among them.
    """
    digest = xxhash.xxh3_128(file.header)
    last = max(0, file.status.st_size - SAMPLE_BYTES)
    for number in range(SAMPLES):
        digest.update(os.pread(file.file.fileno(), SAMPLE_BYTES, last * number // (SAMPLES - 1)))
    return str(digest.hexdigest())


def _settled(file: TensorFile, begun: float) -> bool:
    """Whether the file has not changed while it was hashed, nor shortly before that."""
    now = os.fstat(file.file.fileno())
    same = (now.st_size, now.st_mtime_ns, now.st_ctime_ns) == (
        file.status.st_size,
        file.status.st_mtime_ns,
        file.status.st_ctime_ns,
    )
    return same and begun - max(now.st_mtime, now.st_ctime) > SETTLED_SECONDS


def _times_tell(file: TensorFile) -> bool:
    """Whether a file that shows the same times again is the same.

    Whole seconds are the mark of times that an image or an old file system made up or cut.
    """
    if file.status.st_ctime_ns % 1_000_000_000 == 0:
        return False
    if not MOUNTS.exists():  # no Linux
        return not os.fstatvfs(file.file.fileno()).f_flag & os.ST_RDONLY
    kind, writable = _mount(file.path.resolve())
    return writable and kind in KEEPS_TIMES


def _mount(path: Path) -> tuple[str, bool]:
    """Return type of the file system of ``path``, and whether it can be written to anywhere.

    A line: ``36 35 98:0 /root /mount/point rw,noatime master:1 - ext4 /dev/root
    rw,errors=continue``.
    """
    found, depth = ("", False), -1
    for line in MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        where, _, what = line.partition(" - ")
        point = Path(re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), where.split()[4]))
        # a later mount hides an earlier
        if len(point.parts) >= depth and path.is_relative_to(point):
            fields = what.split()
            found, depth = (fields[0], "ro" not in fields[-1].split(",")), len(point.parts)
    return found

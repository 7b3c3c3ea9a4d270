"""Commits: the transaction. A shard without one does not exist; the first commit of a unit's sites wins."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from actlas.store.errors import DamagedStore
from actlas.store.format.schema import FORMAT_COMMIT, Commit, canonical, seal, unseal
from actlas.store.format.tail import tail_bytes
from actlas.store.format.validation import check_commit
from actlas.store.io.durable import publish_bytes, publish_file
from actlas.store.io.safe_open import read_record
from actlas.store.writing.shard import ShardWriter

if TYPE_CHECKING:
    from actlas.store.runs.joined import Joined

R = TypeVar("R", Commit, "Joined")

SUFFIX = ".json"
FILE = re.compile(r"[A-Za-z0-9-]+\.h5")  # a shard's name, never a path
RUN_ID = re.compile(r"[0-9a-f]{16}")


def stem(unit: int, sites: Iterable[str]) -> str:
    """Return the name of the commit of ``sites`` of a unit: equal work has equal names, so it is committed once."""
    digest = hashlib.sha256(canonical({"sites": sorted(sites)})).hexdigest()[:8]
    return f"{unit:08d}-{digest}"


def publish(run_folder: Path, writer: ShardWriter, commit: Commit) -> bool:
    """Publish the finished shard of ``writer``, with a copy of its ``commit`` at its end, and then the commit.

    Returns False where another process was first. ``commit.size`` is that of the HDF5 part, all that is written so far.
    """
    from actlas.store.runs.holdings import has_joined  # which is made of commits

    target = run_folder / "shards" / commit.file
    if has_joined(run_folder, commit.unit.number, commit.holds):
        writer.drop()
        return False
    commit, tail = with_tail(commit)
    writer.close(tail)
    name = run_folder / "commits" / (stem(commit.unit.number, commit.holds) + SUFFIX)
    try:
        moved = publish_file(writer.path, target)
        if moved and publish_bytes(seal(commit.to_json()), name, aside=writer.path.parent):
            return True
    except BaseException:
        if not name.exists():  # its shard would be taken for one that lost its commit
            with contextlib.suppress(OSError):
                target.unlink()
        raise
    if not moved:
        raise DamagedStore(
            f"{target} exists although its name is new each time: the store was written by something else"
        )
    target.unlink(missing_ok=True)
    return False


def with_tail(record: R) -> tuple[R, bytes]:
    """Return a record, whose ``size`` is that of the HDF5 part, as that of the whole file, and what stands behind that part.

    The record gives the file's size, and its own length is part of that: more digits, and it is longer.
    """
    record = replace(record, hdf5=record.size)
    while True:
        tail = copy_bytes(record)
        if record.size == record.hdf5 + len(tail):
            return record, tail
        record = replace(record, size=record.hdf5 + len(tail))


def copy_bytes(record: Commit | Joined) -> bytes:
    """Return what stands behind the HDF5 part of the file of a record."""
    content = record.to_json()
    return tail_bytes(seal(content), content["format"])


def read_commit(path: Path) -> Commit:
    """Read one commit; raises DamagedStore naming it if it is unreadable, altered or says what cannot be."""
    return parse_commit(read_record(path), path)


def parse_commit(content: bytes, path: Path) -> Commit:
    """Return the commit of a sealed record that stands in the file ``path``; raises DamagedStore as ``read_commit`` does."""
    record = unseal(content, str(path), FORMAT_COMMIT)
    try:
        commit = Commit.from_json(record)
        if not FILE.fullmatch(str(commit.file)):
            raise DamagedStore(f"{path} names a file outside its run: {str(commit.file)[:100]!r}")
        check_commit(commit)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DamagedStore(
            f"{path} lacks a field or has a wrong one ({error}): remove it and extract again"
        ) from error
    return commit

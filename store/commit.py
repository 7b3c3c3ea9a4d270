"""Commits: the transaction. A shard without one does not exist; the first commit of a unit's sites wins."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from actlas.store.durable import publish_bytes, publish_file
from actlas.store.errors import DamagedStore
from actlas.store.opening import read_record
from actlas.store.schema import Commit, canonical, seal, unseal
from actlas.store.soundness import check_commit

SUFFIX = ".json"
FILE = re.compile(r"[A-Za-z0-9-]+\.h5")  # a shard's name, never a path
RUN_ID = re.compile(r"[0-9a-f]{16}")


def stem(unit: int, sites: Iterable[str]) -> str:
    """Return the name of the commit of ``sites`` of a unit: equal work has equal names, so it is committed once."""
    digest = hashlib.sha256(canonical({"sites": sorted(sites)})).hexdigest()[:8]
    return f"{unit:08d}-{digest}"


def publish(run_folder: Path, shard: Path, commit: Commit) -> bool:
    """Move a finished ``shard`` and then its ``commit`` to their final names; False where another process was first."""
    from actlas.store.holdings import has_joined  # which is made of commits

    target = run_folder / "shards" / commit.file
    if has_joined(run_folder, commit.unit.number, commit.holds):
        return False
    if not publish_file(shard, target):
        raise DamagedStore(f"{target} exists although its name is new each time: the store was written by something else")
    name = run_folder / "commits" / (stem(commit.unit.number, commit.holds) + SUFFIX)
    if publish_bytes(seal(commit.to_json()), name, aside=shard.parent):
        return True
    target.unlink()
    return False


def read_commit(path: Path) -> Commit:
    """Read one commit; raises DamagedStore naming it if it is unreadable, altered or says what cannot be."""
    record = unseal(read_record(path), str(path), "actlas-commit")
    try:
        commit = Commit.from_json(record)
        if not FILE.fullmatch(str(commit.file)):
            raise DamagedStore(f"{path} names a file outside its run: {str(commit.file)[:100]!r}")
        check_commit(commit)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DamagedStore(f"{path} lacks a field or has a wrong one ({error}): remove it and extract again") from error
    return commit

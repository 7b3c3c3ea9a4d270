"""Commits: the transaction. A shard without one does not exist; the first commit of a unit's sites wins."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from actlas.store.durable import publish_bytes, publish_file
from actlas.store.errors import DamagedStore
from actlas.store.schema import Commit, canonical, seal, unseal

SUFFIX = ".json"
FILE = re.compile(r"[A-Za-z0-9-]+\.h5")  # a shard's name, never a path
RUN_ID = re.compile(r"[0-9a-f]{16}")


def stem(unit: int, sites: Iterable[str]) -> str:
    """Return the name of the commit of ``sites`` of a unit: equal work has equal names, so it is committed once."""
    digest = hashlib.sha256(canonical({"sites": sorted(sites)})).hexdigest()[:8]
    return f"{unit:08d}-{digest}"


def publish(run_folder: Path, shard: Path, commit: Commit) -> bool:
    """Move a finished ``shard`` and then its ``commit`` to their final names; False where another process was first."""
    target = run_folder / "shards" / commit.file
    if not publish_file(shard, target):
        raise DamagedStore(f"{target} exists although its name is new each time: the store was written by something else")
    name = run_folder / "commits" / (stem(commit.unit.number, commit.holds) + SUFFIX)
    if publish_bytes(seal(commit.to_json()), name, aside=shard.parent):
        return True
    target.unlink()
    return False


def read_commits(run_folder: Path) -> list[Commit]:
    """Return all commits of a run by unit; raises DamagedStore naming the first that is unreadable or altered."""
    return [read_commit(path) for path in sorted((run_folder / "commits").glob(f"*{SUFFIX}"))]


def read_commit(path: Path) -> Commit:
    """Read one commit; raises DamagedStore naming it if it is unreadable or altered."""
    record = unseal(path.read_bytes(), str(path), "actlas-commit")
    try:
        commit = Commit.from_json(record)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedStore(f"{path} lacks a field or has a wrong one ({error}): remove it and extract again") from error
    if not FILE.fullmatch(str(commit.file)):
        raise DamagedStore(f"{path} names a file outside its run: {commit.file!r}")
    if not all(RUN_ID.fullmatch(str(shared.run)) for shared in commit.shared.values()):
        raise DamagedStore(f"{path} shares blocks with what is no run: remove it and extract again")
    for site, own in commit.sites.items():
        if own.layout.first != (len(commit.shared[site].checksums) if site in commit.shared else 0):
            raise DamagedStore(f"{path}: {site} does not go on where its baseline's blocks end: remove it and extract again")
    return commit

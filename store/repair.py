"""Repair: units that are damaged leave the run, so that the next extraction makes them again.

The commit goes first, then its shard: killed between the two, the run has a shard without a commit, which is swept. A unit of a
joined file goes by a new record without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from actlas.store.checking import Checked, Rests, check_member, check_path
from actlas.store.commit import read_commit
from actlas.store.digest import READ_BYTES
from actlas.store.durable import sync_folder
from actlas.store.errors import DamagedStore, StoreError
from actlas.store.holdings import joined_paths, packing_lock, read_joined, read_records, replace_joined
from actlas.store.joined import Holding
from actlas.store.label_checking import repair_labels
from actlas.store.leftovers import check_own, sweep, workspace
from actlas.store.run import Run
from actlas.store.schema import canonical, checksum

BASELINE = "what is wrong are blocks of its baseline: repair and extract that run again"
COMMIT = re.compile(r"(\d{8})-[0-9a-f]{8}\.json")


@dataclass(frozen=True)
class Dropped:
    """A commit that was removed: its unit and its sites, None and empty where it did not say any more."""

    commit: str
    unit: int | None
    sites: tuple[str, ...]


@dataclass(frozen=True)
class Repair:
    """What was dropped, and what was left as it is and why."""

    dropped: tuple[Dropped, ...]
    left: tuple[str, ...]
    mended: tuple[str, ...] = ()  # what was written anew from what is whole


def repair(run: Run, checked: Iterable[Checked]) -> Repair:
    """Drop the commits among ``checked`` that have problems, and then the shards that no commit speaks of any more.

    Files of which HDF5's own part is damaged are written anew, and so are labels that can be read.

    Left alone, with the reason: what cannot be read for want of permission or by an error of the disk, and sound commits that
    this actlas does not understand.
    """
    dropped: list[Dropped] = []
    left: list[str] = []
    checked = list(checked)
    bad = {item.commit for item in checked if item.problems and item.kind == "commit"}
    check_own(*(run.folder / part for part in ("commits", "joined", "shards")))
    for path in (run.folder / "commits" / name for name in sorted(bad)):
        _drop_commit(run, path, dropped, left)
    if bad and (run.folder / "joined").is_dir():
        try:
            with packing_lock(run.folder):
                _drop_records(run, bad, dropped, left)
                _drop_members(run, bad, dropped, left)
        except (DamagedStore, PermissionError) as error:
            left.append(f"units of joined files were left alone: {error}")
    if dropped:
        sync_folder(run.folder / "commits")
        try:
            sweep(run.folder)
        except (DamagedStore, PermissionError) as error:
            left.append(f"shards of what was dropped stay until `actlas gc` can remove them: {error}")
    run.refresh()
    mended = _rewrite(run, {item.commit for item in checked if item.problems and item.kind == "file"}, left)
    if any(item.problems and item.kind == "labels" for item in checked):
        written, lost = repair_labels(run)
        mended += written
        left += lost
        if not written and not lost:
            left += [problem for item in checked if item.kind == "labels" for problem in item.problems]
    return Repair(tuple(dropped), tuple(left), tuple(mended))


def _rewrite(run: Run, files: set[str], left: list[str]) -> list[str]:
    """Write files anew whose HDF5 part is damaged, from their units; return what was done."""
    from actlas.store.packing import rewrite

    mended = []
    for file in sorted(files):
        try:
            if rewrite(run, file):
                mended.append(f"wrote {file} anew from its numbers and labels")
        except (StoreError, OSError) as error:
            left.append(f"{run.folder / 'shards' / file} was left alone: {error}")
    return mended


def _drop_commit(run: Run, path: Path, dropped: list[Dropped], left: list[str]) -> None:
    """Drop a commit with problems, unless it must stay or is sound by now."""
    reason = _must_stay(run, path)
    if reason:
        left.append(f"{path} was left alone: {reason}")
    elif path.exists():
        if check_path(run, path, {}, shared=False).problems:  # still: it may have been packed meanwhile
            dropped.append(_dropped(path))
            path.unlink(missing_ok=True)
        elif check_path(run, path, {}).problems:
            left.append(f"{path} was left alone: {BASELINE}")


def _drop_records(run: Run, bad: set[str], dropped: list[Dropped], left: list[str]) -> None:
    """Drop records of joined files that cannot be read: all units of their files go."""
    for path in [path for path in joined_paths(run.folder) if path.name in bad]:
        reason = _must_stay(run, path)
        if reason:
            left.append(f"{path} was left alone: {reason}")
        else:
            path.unlink()
            sync_folder(path.parent)
            dropped.append(Dropped(path.name, None, ()))


def _drop_members(run: Run, bad: set[str], dropped: list[Dropped], left: list[str]) -> None:
    """Drop damaged units from the records of joined files."""
    planned = frozenset(run.units)
    for joined in read_records(run.folder):
        path = run.folder / "joined" / joined.name
        told = [index for index in joined.present if joined.commit_name(index) in bad]
        reason = _must_stay(run, path) if told else None
        if reason:
            left.append(f"{path} was left alone: {reason}")
            continue
        rests: Rests = {}
        lost = [index for index in told if check_member(run, joined, index, rests, planned, shared=False).problems]
        for index in set(told).difference(lost):
            if check_member(run, joined, index, rests, planned).problems:
                left.append(f"unit {joined.units[index].number} of {path} was left alone: {BASELINE}")
        dropped += [Dropped(joined.commit_name(i), joined.units[i].number, tuple(sorted(joined.holds(i)))) for i in lost]
        if lost:
            with workspace(run.folder) as work:
                replace_joined(run.folder, path, replace(joined, gone=joined.gone.union(lost)), work.folder)


def _must_stay(run: Run, path: Path) -> str | None:
    """Return why a commit, or the record of a joined file, with problems is not to be dropped, None where it is."""
    try:
        content = path.read_bytes()
        record: Holding = read_joined(path) if path.parent.name == "joined" else read_commit(path)
        shard = run.path(record)
    except FileNotFoundError:
        return None
    except DamagedStore as error:
        return f"it is whole, but not understood ({error})" if _sealed(content) else None
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    try:
        with shard.open("rb") as file:
            while file.read(READ_BYTES):
                pass
    except FileNotFoundError:
        return None if shard.parent.is_dir() else f"{shard.parent} is not there"
    except OSError as error:
        return f"{shard} cannot be read ({error.strerror})"
    return None


def _sealed(content: bytes) -> bool:
    """Whether a record's checksum holds, whatever it says."""
    try:
        record = json.loads(content)
        found = record.pop("checksum")
        return bool(found == checksum(canonical(record)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def _dropped(path: Path) -> Dropped:
    unit = COMMIT.fullmatch(path.name)
    try:
        sites = tuple(sorted(read_commit(path).holds))
    except (DamagedStore, FileNotFoundError):
        sites = ()
    return Dropped(path.name, int(unit[1]) if unit else None, sites)

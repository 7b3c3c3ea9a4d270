"""Recovery: what is lost but still known is written again.

From a file's own copy of its record or from the record.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actlas.store.errors import DamagedStore, StoreError
from actlas.store.format.commit_record import CommitRecord, copy_bytes
from actlas.store.format.digest import READ_BYTES
from actlas.store.format.parts import Parts, SitePart, sites_of
from actlas.store.format.schema import canonical, checksum
from actlas.store.io.durable import READ_ONLY, naming, set_mode, sync_folder
from actlas.store.io.workspace import lost_shards, restore_lost, workspace
from actlas.store.maintenance.checks import copy_problem, shard_of
from actlas.store.maintenance.lost import Lost
from actlas.store.runs.commits import COMMITS, PACKED, packed_paths, read_commit
from actlas.store.runs.run import Run

COMMIT = re.compile(r"(\d{8})-[0-9a-f]{8}\.json")


@dataclass(frozen=True)
class Dropped:
    """A commit that was removed.

    Its unit is None and its parts are empty if it could no longer be read.
    """

    commit: str
    unit: int | None
    parts: Parts

    @property
    def sites(self) -> tuple[str, ...]:
        """Names of its sites."""
        return tuple(sorted(sites_of(self.parts)))


@dataclass
class Report:
    """A repair under way."""

    dropped: list[Dropped] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)


def _records(run: Run, bad: Collection[str]) -> list[Path]:
    """Return the paths of commits and records of packed shards that are there and have problems."""
    commits = [run.folder / COMMITS / name for name in sorted(bad)]
    return [
        *(path for path in packed_paths(run.folder) if path.name in bad),
        *(path for path in commits if path.exists()),
    ]


def write_copies(run: Run, bad: Collection[str], report: Report) -> None:
    """Write files' own copies of their records again where these differ.

    Whoever reads the data does not look at them.
    """
    for path in _records(run, bad):
        try:
            record = read_commit(path)
            shard = shard_of(run, record)
            if not copy_problem(shard, record):
                continue
            _write_copy(shard, record)
            report.restored.append(f"the record at the end of {shard}")
        except DamagedStore:
            continue
        except OSError as error:
            report.left.append(
                f"the record at the end of {error.filename} was left alone ({error.strerror})"
            )


def _write_copy(shard: Path, record: CommitRecord) -> None:
    set_mode(shard, READ_ONLY | stat.S_IWUSR)
    descriptor = os.open(shard, os.O_WRONLY)
    try:
        with naming(shard):
            os.pwrite(descriptor, copy_bytes(record), record.hdf5)
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
        set_mode(shard, READ_ONLY)


def restore_records(run: Run, bad: Collection[str], report: Report) -> None:
    """Publish lost records from their files, unreadable ones too, after those were removed.

    Drop files that are damaged.
    """
    unreadable = _remove_unreadable(run, bad, report)
    try:
        if not unreadable and not lost_shards(run.folder)[0]:
            return
        with workspace(run.folder) as work:
            restored = set(work.restored)
            _, damaged = restore_lost(run.folder, work.folder)
    except (StoreError, PermissionError) as error:
        report.left.append(f"shards without a record were left alone: {error}")
        report.dropped += unreadable
        return
    report.restored += [f"the record of unit {unit}" for unit in sorted(restored)]
    report.dropped += [
        item
        for item in unreadable
        if item.unit not in restored and not (item.unit is None and restored)
    ]
    for lost, problems in damaged:
        _drop_lost(run, lost, problems, report)


def _remove_unreadable(run: Run, bad: Collection[str], report: Report) -> list[Dropped]:
    """Remove records that cannot be read or stand under another's name.

    What they said stands in their shards as well.
    """
    removed = []
    for path in _records(run, bad):
        try:
            record = read_commit(path)
            if path.parent.name == PACKED or path.name == record.locations[0].name:
                continue
        except FileNotFoundError:
            continue
        except OSError as error:
            report.left.append(f"{path} was left alone: it cannot be read ({error.strerror})")
            continue
        except DamagedStore:
            pass
        reason = must_stay(run, path)
        if reason:
            report.left.append(f"{path} was left alone: {reason}")
            continue
        removed.append(dropped(path))
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    return removed


def _drop_lost(run: Run, lost: Lost, problems: Sequence[str], report: Report) -> None:
    """Drop a shard without a record that is damaged.

    It stays if units of it were restored, or if it cannot be read.
    """
    reason = problems[0] if lost.record.run != run.id else unread(lost.path)
    if reason:
        report.left.append(f"{lost.path} was left alone: {reason}")
    elif lost.path.exists() and lost_shards(run.folder)[0]:
        parts = frozenset[SitePart]().union(*(parts for _, parts in lost.record.covers))
        report.dropped += [Dropped(lost.path.name, unit, parts) for unit in lost.units]
        lost.path.unlink()
        sync_folder(lost.path.parent)


def must_stay(run: Run, path: Path) -> str | None:
    """Return why a commit, or the record of a packed shard, with problems must not be dropped.

    None if it may be dropped.
    """
    try:
        content = path.read_bytes()
        shard = shard_of(run, read_commit(path))
    except FileNotFoundError:
        return None
    except DamagedStore as error:
        return f"it is whole, but not understood ({error})" if _sealed(content) else None
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    return unread(shard)


def unread(shard: Path) -> str | None:
    """Return why a shard cannot be read, None where it can or is not there."""
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


def dropped(path: Path) -> Dropped:
    """Return what a commit that is to go says of itself."""
    unit = COMMIT.fullmatch(path.name)
    try:
        parts = read_commit(path).holds(0)
    except (DamagedStore, FileNotFoundError):
        parts = frozenset()
    return Dropped(path.name, int(unit[1]) if unit else None, parts)

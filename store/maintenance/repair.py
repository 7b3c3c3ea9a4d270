"""Repair: what is lost but still known is written again.

Units that are damaged leave the run, for the next extraction.

The commit goes first, then its shard, of which it was noted before that it is not to come back. A
unit of a packed file goes by a new record without it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from actlas.store.errors import DamagedStore, StoreError
from actlas.store.format.commit_record import CommitRecord, UnitLocation, Work
from actlas.store.format.schema import SUFFIX, stem
from actlas.store.io.durable import sync_folder
from actlas.store.io.workspace import check_own, collect_garbage, workspace
from actlas.store.labels.repair import repair_labels
from actlas.store.maintenance.checks import Checked, Files, check_location, check_path
from actlas.store.maintenance.recovery import (
    COMMIT,
    Dropped,
    Report,
    dropped,
    must_stay,
    restore_records,
    write_copies,
)
from actlas.store.reading.sources import AGAIN, AWAY, stranded
from actlas.store.runs.commits import COMMITS, PACKED, read_commit, read_packed
from actlas.store.runs.packed import dropping, packing_lock, replace_packed
from actlas.store.runs.run import Run

NEEDED = "units of its variants share its blocks, and were left alone"


@dataclass(frozen=True)
class Repair:
    """What was dropped; what was written again; what was left as it is and why."""

    dropped: tuple[Dropped, ...]
    left: tuple[str, ...]
    restored: tuple[str, ...] = ()
    rewritten: tuple[str, ...] = ()  # files and labels that were written again from what is whole


@dataclass(frozen=True)
class Begun:
    """A repair that wrote again all that can be, and dropped nothing yet."""

    run: Run
    checked: tuple[Checked, ...]
    report: Report

    @property
    def bad(self) -> set[str]:
        """The commits that had problems."""
        return {item.commit for item in self.checked if item.problems and item.kind == "commit"}


def repair(run: Run, checked: Iterable[Checked]) -> Repair:
    """Write again what can be, then drop the commits that still have problems.

    Stranded units of a variant are dropped too.

    checked: what ``verify`` found. Written again are lost records, and files' own copies of them,
    files of which HDF5's own part is damaged, and labels that can be read. Stranded are units that
    share blocks with a baseline which no longer has these. Left alone, with the reason: what cannot
    be read for want of permission or by an error of the disk, and valid commits that this actlas
    does not understand.

    Whoever repairs a baseline and its variants begins all, and finishes variants first: see
    ``condemned``.
    """
    return finish(begin(run, checked))


def begin(run: Run, checked: Iterable[Checked]) -> Begun:
    """Do the first part of ``repair``: write records and copies of them again."""
    begun = Begun(run, tuple(checked), Report())
    check_own(*(run.folder / part for part in (COMMITS, PACKED, "shards")))
    if begun.bad:
        write_copies(run, begun.bad, begun.report)
        restore_records(run, begun.bad, begun.report)
    return begun


def condemned(begun: Begun) -> frozenset[Work]:
    """Return the units that ``finish`` will drop of a baseline, each with its sites.

    Variants that share blocks with them drop theirs before: killed between, no unit is there that
    cannot be read.
    """
    run, found = begun.run, set[Work]()
    for path in (run.folder / COMMITS / name for name in sorted(begun.bad)):
        # of one that cannot be read, no variant can read what it shares now
        with contextlib.suppress(DamagedStore, FileNotFoundError):
            if not must_stay(run, path) and check_path(run, path, {}, shared=False).problems:
                found |= read_commit(path).covers
    with contextlib.suppress(StoreError, PermissionError):  # then they are left alone
        for record in read_packed(run.folder) if begun.bad else ():
            found |= _condemned_members(run, record, begun.bad)
    return frozenset(found)


def _condemned_members(run: Run, record: CommitRecord, bad: Collection[str]) -> set[Work]:
    path = run.folder / PACKED / record.name
    suspects = _suspects(record, bad)
    if not suspects or must_stay(run, path):
        return set()
    files: Files = {}
    planned = frozenset(run.units)
    return {
        record.work(each.member)
        for each in suspects
        if check_location(run, path, each, files, planned, shared=False).problems
    }


def stranded_units(run: Run, losing: Collection[Work] = ()) -> frozenset[Work]:
    """Return the units whose baseline no longer has what they share, or is ``losing`` it.

    Nothing is returned where records are unreadable.
    """
    try:
        return frozenset(stranded(run.index, losing))
    except DamagedStore:
        return frozenset()


def finish(begun: Begun, losing: Collection[Work] = (), needed: Collection[int] = ()) -> Repair:
    """Do the second part of ``repair``: drop units, and write files and labels again.

    losing: of a variant, what its baseline is about to drop. needed: of a baseline, numbers of
    units that stay, since those of variants which share their blocks had to.
    """
    run, report = begun.run, begun.report
    bad = {name for name in begun.bad if _unit(name) not in needed}
    report.left += [
        f"{name} of run {run.name} was left alone: {NEEDED}" for name in sorted(begun.bad - bad)
    ]
    run.refresh()  # its baseline may have been repaired since it was looked at
    works = stranded_units(run, losing) if run.baseline_id else frozenset[Work]()
    needless = {stem(*work) + SUFFIX for work in works}
    for path in (run.folder / COMMITS / name for name in sorted(bad | needless)):
        _drop_commit(run, path, path.name in needless, report)
    if (bad or needless) and (run.folder / PACKED).is_dir():
        try:
            with packing_lock(run.folder):
                _drop_members(run, bad, needless, report)
        except (StoreError, PermissionError) as error:
            report.left.append(f"units of packed shards were left alone: {error}")
    if report.dropped:
        sync_folder(run.folder / COMMITS)
        try:
            collect_garbage(run.folder)
        except (StoreError, PermissionError) as error:
            report.left.append(
                f"shards of what was dropped stay until `actlas gc` can remove them: {error}"
            )
    run.refresh()
    rewritten = _repair_files(run, begun.checked, report.left)
    return Repair(
        tuple(report.dropped), tuple(report.left), tuple(report.restored), tuple(rewritten)
    )


def _repair_files(run: Run, checked: Collection[Checked], left: list[str]) -> list[str]:
    """Write again files whose HDF5 part is damaged, and labels; return what was done."""
    rewritten = _rewrite(
        run, {item.commit for item in checked if item.problems and item.kind == "file"}, left
    )
    if any(item.problems and item.kind == "labels" for item in checked):
        written, lost = repair_labels(run)
        rewritten += written
        left += lost
        if not written and not lost:
            left += [
                problem for item in checked if item.kind == "labels" for problem in item.problems
            ]
    return rewritten


def _rewrite(run: Run, files: set[str], left: list[str]) -> list[str]:
    """Write files again whose HDF5 part is damaged, from their units; return what was done."""
    from actlas.store.writing.pack import rewrite

    rewritten = []
    for file in sorted(files):
        try:
            if rewrite(run, file):
                rewritten.append(f"wrote {file} again from its numbers and labels")
        except (StoreError, OSError) as error:
            left.append(f"{run.folder / 'shards' / file} was left alone: {error}")
    return rewritten


def _drop_commit(run: Run, path: Path, needless: bool, report: Report) -> None:
    """Drop a commit with problems, unless it must stay or is valid by now."""
    reason = must_stay(run, path)
    if reason:
        if not any(str(path) in each for each in report.left):
            report.left.append(f"{path} was left alone: {reason}")
    elif path.exists():
        # still: it may have been packed meanwhile
        if needless or check_path(run, path, {}, shared=False).problems:
            report.dropped.append(dropped(path))
            with _dropping(run, path):
                path.unlink(missing_ok=True)
        elif check_path(run, path, {}).problems:
            report.left.append(f"{path} was left alone: {_of_baseline(run)}")


def _dropping(run: Run, path: Path) -> contextlib.AbstractContextManager[None]:
    """Let the shard of a commit go with it.

    If it stayed, its own copy of the record would bring the unit back.
    """
    with contextlib.suppress(DamagedStore, FileNotFoundError):
        record = read_commit(path)
        if path.name == record.locations[0].name:
            return dropping(run.folder, record.file)
    return contextlib.nullcontext()


def _drop_members(
    run: Run, bad: Collection[str], needless: Collection[str], report: Report
) -> None:
    """Drop damaged and stranded units from the records of packed shards."""
    for record in read_packed(run.folder):
        path = run.folder / PACKED / record.name
        suspects = _suspects(record, {*bad, *needless})
        reason = must_stay(run, path) if suspects else None
        if reason:
            report.left.append(f"{path} was left alone: {reason}")
            continue
        lost = _lost_members(run, path, suspects, needless, report)
        for location in lost:
            report.dropped.append(Dropped(location.name, location.unit.number, location.holds))
        if lost:
            dropped = record.dropped.union(location.member for location in lost)
            left = replace(record, dropped=dropped)
            going = contextlib.nullcontext() if left.present else dropping(run.folder, record.file)
            with going, workspace(run.folder) as work:
                replace_packed(run.folder, path, left, work.folder)


def _lost_members(
    run: Run,
    path: Path,
    suspects: Iterable[UnitLocation],
    needless: Collection[str],
    report: Report,
) -> list[UnitLocation]:
    """Return the units that are damaged themselves or stranded.

    Units whose baseline is damaged are reported and stay.
    """
    files: Files = {}
    planned, lost = frozenset(run.units), []
    for location in suspects:
        own = check_location(run, path, location, files, planned, shared=False)
        if location.name in needless or own.problems:
            lost.append(location)
        elif check_location(run, path, location, files, planned).problems:
            number = location.unit.number
            report.left.append(f"unit {number} of {path} was left alone: {_of_baseline(run)}")
    return lost


def _unit(commit: str) -> int | None:
    """Return which unit a commit of this name is of; None for other files."""
    found = COMMIT.fullmatch(commit)
    return int(found[1]) if found else None


def _suspects(record: CommitRecord, names: Collection[str]) -> list[UnitLocation]:
    """Return which units of a packed shard are among those of these names."""
    return [each for each in record.locations if each.name in names]


def _of_baseline(run: Run) -> str:
    """Return what to do about blocks of the baseline that are not as they were."""
    if run.baseline is None:
        return f"its baseline {run.baseline_id} is not there: {AWAY}"
    if run.baseline.units != run.units:
        return f"it was made in other units than its baseline has now: {AGAIN}"
    remedy = f"`actlas verify {run.baseline_id} --repair` drops them and what needs them"
    return f"blocks of its baseline are damaged: {remedy}"

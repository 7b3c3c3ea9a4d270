"""Verification: every committed byte against its checksum, every commit against its run, every file against its own record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from actlas.store.errors import DamagedStore, StoreError
from actlas.store.format.digest import rest_checksum, span_checksum
from actlas.store.format.hdf5_check import structure_problems
from actlas.store.format.schema import BLOCK_DIMS, Commit, SharedSite, Unit, checksum
from actlas.store.io.safe_open import listed, opened
from actlas.store.io.workspace import lost_shards, token_of
from actlas.store.labels.verify import label_problems
from actlas.store.runs.commit import SUFFIX, copy_bytes, read_commit, stem
from actlas.store.runs.holdings import ATTEMPTS, joined_paths, read_joined
from actlas.store.runs.joined import Holding, Joined
from actlas.store.runs.run import Run

COPY = "its own copy of its record was altered"
Kind = Literal["commit", "file", "labels"]

#: files of which HDF5's own part was looked at
Rests = dict[str, "Checked | None"]


@dataclass(frozen=True)
class Checked:
    """One thing looked at: how many bytes were read, and what is wrong, if anything.

    kind: a commit, whose numbers or structural labels are meant; HDF5's own part of a file, which
    damages no unit's numbers; or a version of the label columns.
    """

    commit: str
    nbytes: int
    problems: tuple[str, ...]
    kind: Kind = "commit"


def verify(run: Run) -> Iterator[Checked]:
    """Check commit after commit of ``run``; a problem says which file and what of it. Reads every byte once.

    Units of a joined file are told by the names that their commits would have, shards that have lost their record by their
    own. What is packed meanwhile is looked at where it lies then. What follows is damaged: files whose HDF5 part is not as
    it was written, and versions of the label columns.
    """
    planned = frozenset(run.units)
    done: set[str] = set()
    rests: Rests = {}
    for _ in range(ATTEMPTS):
        moved = False
        for record, checked in _each(run, planned, done, rests):
            if checked is None or (checked.problems and not record.exists()):
                moved = True  # packed, or dropped, since it was listed
            else:
                done.add(checked.commit)
                yield checked
        if not moved:
            break
    yield from _lost(run)
    yield from (
        checked
        for checked in rests.values()
        if checked and (run.folder / "shards" / checked.commit).exists()
    )
    yield from check_label_records(run)


def _each(
    run: Run, planned: frozenset[Unit], done: set[str], rests: Rests
) -> Iterator[tuple[Path, Checked | None]]:
    """Yield what is not ``done``, each with the path of its record; None for one that is gone since it was listed."""
    for path in joined_paths(run.folder):
        yield from ((path, checked) for checked in _each_member(run, path, rests, planned, done))
    for path in listed(run.folder / "commits", SUFFIX):
        if path.name not in done:
            try:
                yield path, check_path(run, path, rests, planned)
            except FileNotFoundError:
                yield path, None


def _each_member(
    run: Run, path: Path, rests: Rests, planned: frozenset[Unit], done: set[str]
) -> Iterator[Checked | None]:
    """Yield the units of a joined file that are not ``done``, and its own copy of its record where that is wrong."""
    try:
        joined = read_joined(path)
    except DamagedStore as error:
        yield from () if path.name in done else (Checked(path.name, 0, (str(error),)),)
        return
    except FileNotFoundError:
        yield None
        return
    members = [index for index in joined.present if joined.commit_name(index) not in done]
    for index in members:
        if joined.commit_name(index) not in done:
            yield check_member(run, joined, index, rests, planned)
    wrong = copy_problem(run.path(joined), joined) if members and path.name not in done else None
    if wrong:
        yield Checked(path.name, 0, (wrong,))


def _lost(run: Run) -> Iterator[Checked]:
    """Yield the shards that have lost their record; those that a writer was killed over are no damage."""
    try:
        lost, killed = lost_shards(run.folder)
    except (
        StoreError
    ):  # an unreadable record is told of already; without locks nobody knows who is at work
        return
    for each in lost:
        if token_of(each.path) not in killed:
            yield Checked(each.path.name, 0, (f"{each}: `actlas verify --repair` restores it",))


def check_member(
    run: Run,
    joined: Joined,
    index: int,
    rests: Rests,
    planned: frozenset[Unit],
    *,
    shared: bool = True,
) -> Checked:
    """Check one unit of a joined file; with ``shared`` also the blocks of its baseline that it refers to."""
    commit, record = joined.commit(index), run.folder / "joined" / joined.name
    nbytes, damages = check_commit(commit, run.path(commit), "see `actlas verify --repair`", rests)
    missed = missed_of(run, commit) if shared else ()
    wrong = (f"{record} {each}" for each in misplaced(run, commit, planned))
    return Checked(joined.commit_name(index), nbytes, (*wrong, *damages, *missed))


def check_path(
    run: Run,
    path: Path,
    rests: Rests,
    planned: frozenset[Unit] | None = None,
    *,
    shared: bool = True,
) -> Checked:
    """Check what lies under one commit's path; with ``shared`` also the blocks of its baseline that it refers to."""
    try:
        commit = read_commit(path)
    except DamagedStore as error:
        return Checked(path.name, 0, (str(error),))
    nbytes, damages = check_commit(
        commit, run.path(commit), f"remove {path} and extract again", rests
    )
    copy = () if damages else (copy_problem(run.path(commit), commit),)
    missed = missed_of(run, commit) if shared else ()
    wrong = [f"{path} {each}" for each in misplaced(run, commit, planned)]
    belongs = stem(commit.unit.number, commit.holds)
    wrong += (
        []
        if path.stem == belongs
        else [f"{path} was renamed: its content belongs under {belongs}{SUFFIX}"]
    )
    return Checked(path.name, nbytes, (*wrong, *damages, *filter(None, copy), *missed))


def check_commit(commit: Commit, shard: Path, remedy: str, rests: Rests) -> tuple[int, list[str]]:
    """Read what ``commit`` speaks of in the file ``shard``; return its bytes, and what is not as it says, each with ``remedy``.

    What lies outside sites and labels is read, and counted, once for all units of a file;
    ``rests`` gets what is wrong there.
    """
    nbytes = sum(site.layout.nbytes for site in commit.sites.values())
    nbytes += sum(label.nbytes for label in commit.labels.values())
    if commit.file not in rests:
        nbytes += commit.size - sum(end - start for start, end in commit.spans)
        nbytes += commit.size - commit.hdf5 if commit.hdf5 else 0  # see ``copy_problem``
    return nbytes, list(_damages(commit, shard, remedy, rests))


def check_label_records(run: Run) -> Iterator[Checked]:
    """Yield the damaged versions of a run's label columns; a variant's are its baseline's."""
    if run.label_home == run.folder:
        found = [Checked(*each, "labels") for each in label_problems(run.folder, run.sentences)]
        if not any(item.problems for item in found) and (problem := _as_read(run)):
            found = [Checked("labels", 0, (problem,), "labels")]
        yield from (item for item in found if item.problems)


def _as_read(run: Run) -> str | None:
    """Return why the run does not read its columns, such as one with the name of a site."""
    try:
        _ = run.holdings
    except DamagedStore:
        return None  # the commit that is damaged is told of
    try:
        _ = run.columns
    except DamagedStore as error:
        return str(error)
    return None


def copy_problem(shard: Path, record: Holding) -> str | None:
    """Return what is wrong with a file's own copy of its record, behind the HDF5 part; None for one that is as it should be."""
    wanted = copy_bytes(replace(record, gone=frozenset()) if isinstance(record, Joined) else record)
    try:
        with opened(shard) as (descriptor, found):
            if found.st_size != record.size or span_checksum(
                descriptor, (record.hdf5, record.size)
            ) == checksum(wanted):
                return None  # of another size: told of already
    except (OSError, DamagedStore):
        return None  # told of already
    return f"{shard}: {COPY}: `actlas verify --repair` writes it again"


def misplaced(run: Run, commit: Commit, planned: frozenset[Unit] | None = None) -> Iterator[str]:
    """Yield why a commit is none of ``run``, in words that follow the name of what holds it."""
    if commit.run != run.id:
        yield f"belongs to run {commit.run}"
    if commit.unit not in (frozenset(run.units) if planned is None else planned):
        yield f"is of unit {commit.unit.number} as no plan of this run has it"


def _damages(commit: Commit, shard: Path, remedy: str, rests: Rests) -> Iterator[str]:
    try:
        with opened(shard) as (descriptor, found):
            if found.st_size != commit.size:
                yield f"{shard} has {found.st_size} bytes, wanted {commit.size}: {remedy}"
                return
            yield from (
                f"{shard}: {what} altered: {remedy}" for what in _altered(descriptor, commit)
            )
            if commit.file not in rests:  # many units may lie in one file
                problems = tuple(_hdf5_problems(descriptor, shard, commit))
                rests[commit.file] = Checked(commit.file, 0, problems, "file") if problems else None
    except OSError as error:
        yield f"{shard} cannot be read ({error.strerror}): {remedy}"
    except DamagedStore as error:
        yield f"{error}; {remedy}"


def missed_of(run: Run, commit: Commit) -> Iterator[str]:
    """Say what the baseline no longer has of the blocks that ``commit`` shares with it."""
    for site, shared in commit.shared.items():
        for attempt in range(ATTEMPTS):
            problem, gone = _missed(run, commit.unit, site, shared)
            if not gone or attempt == ATTEMPTS - 1:
                break
            run.refresh()  # the baseline was packed since it was opened: what it had lies elsewhere
        if problem:
            yield problem


def _missed(run: Run, unit: Unit, site: str, shared: SharedSite) -> tuple[str | None, bool]:
    """Return what is wrong with the blocks of the baseline, and whether their file is not there."""
    from actlas.store.reading.blocks import read_block
    from actlas.store.reading.pieces import shared_piece  # it brings xarray and dask

    gone = False
    try:
        piece = shared_piece(run, unit, site, shared)
        gone = not piece.path.exists()
        for block in range(piece.blocks):
            read_block(piece, block, check=True)
    except DamagedStore as error:
        return str(error), gone
    return None, False


def _hdf5_problems(descriptor: int, shard: Path, commit: Commit) -> Iterator[str]:
    """Say what is wrong with HDF5's own part of a file; the numbers are read without it."""
    remedy = "`actlas verify --repair` writes the file anew from its numbers and labels"
    if rest_checksum(descriptor, commit.size, commit.spans) != commit.rest:
        yield f"{shard}: HDF5 records were altered: {remedy}"
        return
    yield from (f"{shard}: to HDF5, {what}: {remedy}" for what in structure_problems(shard, commit))


def _altered(descriptor: int, commit: Commit) -> Iterator[str]:
    for site in commit.sites.values():
        layout = site.layout
        for block, wanted in enumerate(site.checksums):
            start = site.place(block)
            if span_checksum(descriptor, (start, start + layout.block_bytes)) != wanted:
                place = (
                    f"[{layout.dims[0]} {layout.first + block}]"
                    if layout.dims[0] in BLOCK_DIMS
                    else ""
                )
                yield f"{layout.site}{place} was"
    for name, label in commit.labels.items():
        if span_checksum(descriptor, (label.offset, label.offset + label.nbytes)) != label.checksum:
            yield f"label {name} was"

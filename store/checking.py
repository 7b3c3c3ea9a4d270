"""Verification: every committed byte against its checksum, every commit against its run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from actlas.store.commit import SUFFIX, read_commit, stem
from actlas.store.digest import rest_checksum, span_checksum
from actlas.store.errors import DamagedStore
from actlas.store.holdings import joined_paths, read_joined
from actlas.store.joined import Joined
from actlas.store.label_checking import label_problems
from actlas.store.opening import listed, opened
from actlas.store.run import Run
from actlas.store.schema import BLOCK_DIMS, Commit, Unit
from actlas.store.structure import structure_problems

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

    Units of a joined file are told by the names that their commits would have. What follows is
    damaged: files whose HDF5 part is not as it was written, and versions of the label columns.
    """
    rests: Rests = {}
    planned = frozenset(run.units)
    done: set[str] = set()
    for path in joined_paths(run.folder):
        try:
            joined = read_joined(path)
        except DamagedStore as error:
            yield Checked(path.name, 0, (str(error),))
            continue
        except FileNotFoundError:
            continue  # repacked meanwhile
        for index in joined.present:
            if joined.commit_name(index) not in done:
                done.add(joined.commit_name(index))
                yield check_member(run, joined, index, rests, planned)
    for path in listed(run.folder / "commits", SUFFIX):
        if path.name not in done:
            yield check_path(run, path, rests, planned)
    yield from (checked for checked in rests.values() if checked)
    yield from check_label_records(run)


def check_member(
    run: Run, joined: Joined, index: int, rests: Rests, planned: frozenset[Unit], *, shared: bool = True
) -> Checked:
    """Check one unit of a joined file; with ``shared`` also the blocks of its baseline that it refers to."""
    commit, record = joined.commit(index), run.folder / "joined" / joined.name
    nbytes, damages = check_commit(commit, run.path(commit), "see `actlas verify --repair`", rests)
    missed = _missed(run, commit) if shared else ()
    misplaced = [f"{record} belongs to run {commit.run}"] if commit.run != run.id else []
    if commit.unit not in planned:
        misplaced.append(f"{record} is of unit {commit.unit.number} as no plan of this run has it")
    return Checked(joined.commit_name(index), nbytes, (*misplaced, *damages, *missed))


def check_path(run: Run, path: Path, rests: Rests, planned: frozenset[Unit] | None = None, *, shared: bool = True) -> Checked:
    """Check what lies under one commit's path; with ``shared`` also the blocks of its baseline that it refers to."""
    try:
        commit = read_commit(path)
    except DamagedStore as error:
        return Checked(path.name, 0, (str(error),))
    nbytes, damages = check_commit(commit, run.path(commit), f"remove {path} and extract again", rests)
    missed = _missed(run, commit) if shared else ()
    misplaced = _misplaced(run.id, frozenset(run.units) if planned is None else planned, path, commit)
    return Checked(path.name, nbytes, (*misplaced, *damages, *missed))


def check_commit(commit: Commit, shard: Path, remedy: str, rests: Rests) -> tuple[int, list[str]]:
    """Read what ``commit`` speaks of in the file ``shard``; return its bytes, and what is not as it says, each with ``remedy``.

    What lies outside sites and labels is read, and counted, once for all units of a file;
    ``rests`` gets what is wrong there.
    """
    nbytes = sum(site.layout.nbytes for site in commit.sites.values())
    nbytes += sum(label.nbytes for label in commit.labels.values())
    if commit.file not in rests:
        nbytes += commit.size - sum(end - start for start, end in commit.spans)
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


def _misplaced(run_id: str, planned: frozenset[Unit], path: Path, commit: Commit) -> Iterator[str]:
    if commit.run != run_id:
        yield f"{path} belongs to run {commit.run}"
    if commit.unit not in planned:
        yield f"{path} is of unit {commit.unit.number} as no plan of this run has it"
    if path.stem != stem(commit.unit.number, commit.holds):
        yield f"{path} was renamed: its content belongs under {stem(commit.unit.number, commit.holds)}{SUFFIX}"


def _damages(commit: Commit, shard: Path, remedy: str, rests: Rests) -> Iterator[str]:
    try:
        with opened(shard) as (descriptor, found):
            if found.st_size != commit.size:
                yield f"{shard} has {found.st_size} bytes, wanted {commit.size}: {remedy}"
                return
            yield from (f"{shard}: {what} altered: {remedy}" for what in _altered(descriptor, commit))
            if commit.file not in rests:  # many units may lie in one file
                problems = tuple(_hdf5_problems(descriptor, shard, commit))
                rests[commit.file] = Checked(commit.file, 0, problems, "file") if problems else None
    except OSError as error:
        yield f"{shard} cannot be read ({error.strerror}): {remedy}"
    except DamagedStore as error:
        yield f"{error}; {remedy}"


def _missed(run: Run, commit: Commit) -> Iterator[str]:
    """Say what the baseline no longer has of the blocks that ``commit`` shares with it."""
    from actlas.store.blocks import read_block

    for site in commit.shared:
        try:
            piece = run.pieces(commit.unit, site)[0]
            for block in range(piece.blocks):
                read_block(piece, block, check=True)
        except DamagedStore as error:
            yield str(error)


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
                place = f"[{layout.dims[0]} {layout.first + block}]" if layout.dims[0] in BLOCK_DIMS else ""
                yield f"{layout.site}{place} was"
    for name, label in commit.labels.items():
        if span_checksum(descriptor, (label.offset, label.offset + label.nbytes)) != label.checksum:
            yield f"label {name} was"

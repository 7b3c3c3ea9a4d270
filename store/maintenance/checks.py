"""Checks of one unit.

Every byte against its checksum, its record against the run, its file against its own record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from actlas.store.errors import DamagedStore
from actlas.store.format.commit_record import CommitRecord, UnitLocation, copy_bytes
from actlas.store.format.digest import metadata_checksum_of, span_checksum
from actlas.store.format.hdf5_check import hdf5_problems
from actlas.store.format.schema import BLOCK_DIMS, SharedSite, Unit, checksum
from actlas.store.io.safe_open import opened
from actlas.store.runs.commits import ATTEMPTS, COMMITS, read_commit
from actlas.store.runs.run import Run

COPY = "its own copy of its record was altered"
Kind = Literal["commit", "file", "labels"]

#: files of which HDF5's own part was looked at
Files = dict[str, "Checked | None"]


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


def check_path(run: Run, path: Path, files: Files, *, shared: bool = True) -> Checked:
    """Check the unit of a record in ``commits/``; raises FileNotFoundError."""
    try:
        (location,) = read_commit(path).locations
    except DamagedStore as error:
        return Checked(path.name, 0, (str(error),))
    return check_location(run, path, location, files, frozenset(run.units), shared=shared)


def check_location(
    run: Run,
    path: Path,
    location: UnitLocation,
    files: Files,
    planned: frozenset[Unit],
    *,
    shared: bool = True,
) -> Checked:
    """Check one unit of the record at ``path``.

    ``shared``: also the blocks of its baseline that it refers to.
    """
    record, alone = location.record, path.parent.name == COMMITS
    remedy = f"remove {path} and extract again" if alone else "see `actlas verify --repair`"
    shard = shard_of(run, record)
    nbytes, damages = check_unit(location, shard, remedy, files)
    problems = [f"{path} {each}" for each in misplaced(run, location, planned)]
    if alone and path.name != location.name:
        problems.append(f"{path} was renamed: its content belongs under {location.name}")
    problems += damages
    if alone and not damages and (copy := copy_problem(shard, record)):
        problems.append(copy)
    problems += missed_of(run, location) if shared else ()
    return Checked(path.name if alone else location.name, nbytes, tuple(problems))


def shard_of(run: Run, record: CommitRecord) -> Path:
    """Return the file of a record, whether or not others of the run can be read."""
    return run.folder / "shards" / record.file


def check_unit(
    location: UnitLocation, shard: Path, remedy: str, files: Files
) -> tuple[int, list[str]]:
    """Read what belongs to a unit in the file ``shard``.

    Returns its bytes, and each thing that is not as recorded, with ``remedy``.

    What lies outside sites and labels is read, and counted, once for all units of a file;
    ``files`` gets what is wrong there.
    """
    record = location.record
    nbytes = sum(site.layout.nbytes for site in location.sites.values())
    nbytes += sum(label.nbytes for label in location.labels.values())
    if record.file not in files:  # and its copy of its record, see ``copy_problem``
        data = sum(end - start for start, end in record.data_spans)
        nbytes += record.size - data + record.size - record.hdf5
    return nbytes, list(_damages(location, shard, remedy, files))


def _damages(location: UnitLocation, shard: Path, remedy: str, files: Files) -> Iterator[str]:
    record = location.record
    try:
        with opened(shard) as (descriptor, found):
            if found.st_size != record.size:
                yield f"{shard} has {found.st_size} bytes, expected {record.size}: {remedy}"
                return
            for what in _altered(descriptor, location):
                yield f"{shard}: {what} altered: {remedy}"
            if record.file not in files:
                problems = tuple(_hdf5_problems(descriptor, shard, record))
                files[record.file] = Checked(record.file, 0, problems, "file") if problems else None
    except OSError as error:
        yield f"{shard} cannot be read ({error.strerror}): {remedy}"
    except DamagedStore as error:
        yield f"{error}; {remedy}"


def _altered(descriptor: int, location: UnitLocation) -> Iterator[str]:
    for name, site in location.sites.items():
        layout = site.layout
        for block, expected in enumerate(site.checksums):
            start = site.place(block)
            if span_checksum(descriptor, (start, start + layout.block_bytes)) != expected:
                numbered = f"[{layout.dims[0]} {layout.numbers[block]}]"
                yield f"{name}{numbered if layout.dims[0] in BLOCK_DIMS else ''} was"
    for name, label in location.labels.items():
        if span_checksum(descriptor, (label.offset, label.offset + label.nbytes)) != label.checksum:
            yield f"label {name} was"


def _hdf5_problems(descriptor: int, shard: Path, record: CommitRecord) -> Iterator[str]:
    """Say what is wrong with HDF5's own part of a file; the numbers are read without it."""
    remedy = "`actlas verify --repair` writes the file again from its numbers and labels"
    if metadata_checksum_of(descriptor, record.size, record.data_spans) != record.metadata_checksum:
        yield f"{shard}: HDF5 records were altered: {remedy}"
        return
    yield from (f"{shard}: to HDF5, {what}: {remedy}" for what in hdf5_problems(shard, record))


def copy_problem(shard: Path, record: CommitRecord) -> str | None:
    """Return what is wrong with a file's own copy of its record, behind the HDF5 part.

    None if nothing is.
    """
    expected = checksum(copy_bytes(record))
    try:
        with opened(shard) as (descriptor, found):
            same = span_checksum(descriptor, (record.hdf5, record.size)) == expected
            if found.st_size != record.size or same:
                return None  # of another size: reported already
    except (OSError, DamagedStore):
        return None  # reported already
    return f"{shard}: {COPY}: `actlas verify --repair` writes it again"


def misplaced(run: Run, location: UnitLocation, planned: frozenset[Unit]) -> Iterator[str]:
    """Yield why a unit is none of ``run``, in words that follow the name of what holds it."""
    if location.run != run.id:
        yield f"belongs to run {location.run}"
    if location.unit not in planned:
        yield f"is of unit {location.unit.number} as no plan of this run has it"


def missed_of(run: Run, location: UnitLocation) -> Iterator[str]:
    """Say what the baseline no longer has of the blocks that a unit shares with it."""
    for site, shared in location.shared.items():
        for attempt in range(ATTEMPTS):
            problem, moved = _missed(run, location.unit, site, shared)
            if not moved or attempt == ATTEMPTS - 1:
                break
            run.refresh()  # the baseline was packed since it was opened: what it had lies elsewhere
        if problem:
            yield problem


def _missed(run: Run, unit: Unit, site: str, shared: SharedSite) -> tuple[str | None, bool]:
    """Return what is wrong with the blocks of the baseline, and whether their file is not there."""
    from actlas.store.reading.blocks import read_block
    from actlas.store.reading.sources import shared_sources  # it brings xarray and dask

    moved = False
    try:
        baseline = run.baseline.index if run.baseline else None
        for source in shared_sources(run.name, baseline, unit, site, shared):
            moved = not source.path.exists()
            for number in source.numbers:
                read_block(source, number, check=True)
    except DamagedStore as error:
        return str(error), moved
    return None, False

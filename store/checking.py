"""Verification: every committed byte against its checksum, every commit against its run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from actlas.store.commit import SUFFIX, read_commit, stem
from actlas.store.digest import rest_checksum, span_checksum
from actlas.store.errors import DamagedStore
from actlas.store.opening import listed, opened
from actlas.store.run import Run
from actlas.store.schema import Commit, Unit
from actlas.store.structure import structure_problems


@dataclass(frozen=True)
class Checked:
    """One commit looked at: how many bytes were read, and what is wrong, if anything."""

    commit: str
    nbytes: int
    problems: tuple[str, ...]


def verify(run: Run) -> Iterator[Checked]:
    """Check commit after commit of ``run``; a problem says which file and what of it. Reads every byte once."""
    planned = frozenset(run.units)
    for path in listed(run.folder / "commits", SUFFIX):
        try:
            commit = read_commit(path)
        except DamagedStore as error:
            yield Checked(path.name, 0, (str(error),))
            continue
        problems = [*_misplaced(run.id, planned, path, commit), *_damages(run, path, commit)]
        yield Checked(path.name, commit.size, tuple(problems))


def _misplaced(run_id: str, planned: frozenset[Unit], path: Path, commit: Commit) -> Iterator[str]:
    if commit.run != run_id:
        yield f"{path} belongs to run {commit.run}"
    if commit.unit not in planned:
        yield f"{path} is of unit {commit.unit.number} as no plan of this run has it"
    if path.stem != stem(commit.unit.number, commit.sites):
        yield f"{path} was renamed: its content belongs under {stem(commit.unit.number, commit.sites)}{SUFFIX}"


def _damages(run: Run, path: Path, commit: Commit) -> Iterator[str]:
    shard, remedy = run.path(commit), f"remove {path} and extract again"
    try:
        with opened(shard) as (descriptor, found):
            if found.st_size != commit.size:
                yield f"{shard} has {found.st_size} bytes, wanted {commit.size}: {remedy}"
                return
            altered = list(_altered(descriptor, commit))
        yield from (f"{shard}: {what} altered: {remedy}" for what in altered)
        if not altered:
            yield from (f"{shard}: to HDF5, {what}: {remedy}" for what in structure_problems(shard, commit))
    except OSError as error:
        yield f"{shard} cannot be read ({error.strerror}): {remedy}"
    except DamagedStore as error:
        yield f"{error}; {remedy}"


def _altered(descriptor: int, commit: Commit) -> Iterator[str]:
    for site in commit.sites.values():
        layout = site.layout
        for block, wanted in enumerate(site.checksums):
            start = site.offset + block * layout.block_bytes
            if span_checksum(descriptor, (start, start + layout.block_bytes)) != wanted:
                yield f"{layout.site}[{layout.dims[0]} {block}] was" if layout.blocks > 1 else f"{layout.site} was"
    if rest_checksum(descriptor, commit.size, commit.sites.values()) != commit.rest:
        yield "labels or HDF5 records were"

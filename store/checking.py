"""Verification: every committed byte against its checksum, every commit against its run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from actlas.store.commit import SUFFIX, read_commit, stem
from actlas.store.digest import rest_checksum, span_checksum
from actlas.store.errors import DamagedStore
from actlas.store.run import Run
from actlas.store.schema import BLOCK_DIMS, Commit


@dataclass(frozen=True)
class Checked:
    """One commit looked at: how many bytes were read, and what is wrong, if anything."""

    commit: str
    nbytes: int
    problems: tuple[str, ...]


def verify(run: Run) -> Iterator[Checked]:
    """Check commit after commit of ``run``; a problem says which file and what of it. Reads every byte once."""
    for path in sorted((run.folder / "commits").glob(f"*{SUFFIX}")):
        try:
            commit = read_commit(path)
        except DamagedStore as error:
            yield Checked(path.name, 0, (str(error),))
            continue
        problems = [*_misplaced(run, path, commit), *_damages(run, path, commit), *_missed(run, commit)]
        yield Checked(path.name, commit.size, tuple(problems))


def _misplaced(run: Run, path: Path, commit: Commit) -> Iterator[str]:
    if commit.run != run.id:
        yield f"{path} belongs to run {commit.run}"
    if commit.unit not in run.units:
        yield f"{path} is of unit {commit.unit.number} as no plan of this run has it"
    if path.stem != stem(commit.unit.number, commit.holds):
        yield f"{path} was renamed: its content belongs under {stem(commit.unit.number, commit.holds)}{SUFFIX}"


def _damages(run: Run, path: Path, commit: Commit) -> Iterator[str]:
    shard, remedy = run.path(commit), f"remove {path} and extract again"
    try:
        with shard.open("rb") as file:
            found = os.fstat(file.fileno()).st_size
            if found != commit.size:
                yield f"{shard} has {found} bytes, wanted {commit.size}: {remedy}"
                return
            for altered in _altered(file.fileno(), commit):
                yield f"{shard}: {altered} altered: {remedy}"
    except OSError as error:
        yield f"{shard} cannot be read ({error.strerror}): {remedy}"


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


def _altered(descriptor: int, commit: Commit) -> Iterator[str]:
    for site in commit.sites.values():
        layout = site.layout
        for block, wanted in enumerate(site.checksums):
            start = site.offset + block * layout.block_bytes
            if span_checksum(descriptor, (start, start + layout.block_bytes)) != wanted:
                place = f"[{layout.dims[0]} {layout.first + block}]" if layout.dims[0] in BLOCK_DIMS else ""
                yield f"{layout.site}{place} was"
    if rest_checksum(descriptor, commit.size, commit.sites.values()) != commit.rest:
        yield "labels or HDF5 records were"

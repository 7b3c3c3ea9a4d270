"""Verification: every committed byte against its checksum, every run against its plan."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import xxhash

from actlas.store.commit import SUFFIX, read_commit, stem
from actlas.store.errors import DamagedStore
from actlas.store.run import Run
from actlas.store.schema import Commit, StoredSite
from actlas.store.shard import rest_checksum

READ_BYTES = 1 << 22


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
        problems = [*_misplaced(run, path, commit), *_damages(run.path(commit), commit)]
        yield Checked(path.name, commit.size, tuple(problems))


def _misplaced(run: Run, path: Path, commit: Commit) -> Iterator[str]:
    if commit.run != run.id:
        yield f"{path} belongs to run {commit.run}"
    if commit.unit not in run.units:
        yield f"{path} is of unit {commit.unit.number} as no plan of this run has it"
    if path.stem != stem(commit.unit.number, commit.sites):
        yield f"{path} was renamed: its content belongs under {stem(commit.unit.number, commit.sites)}{SUFFIX}"


def _damages(path: Path, commit: Commit) -> Iterator[str]:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        yield f"{path} cannot be opened ({error.strerror}): unit {commit.unit.number} is lost, extract again"
        return
    try:
        found = os.fstat(descriptor).st_size
        if found != commit.size:
            yield f"{path} has {found} bytes, wanted {commit.size}: unit {commit.unit.number} is lost, extract again"
            return
        for site in commit.sites.values():
            yield from _altered_blocks(descriptor, path, site)
        if rest_checksum(descriptor, commit.size, commit.sites.values()) != commit.rest:
            yield f"{path}: labels or HDF5 records were altered"
    finally:
        os.close(descriptor)


def _altered_blocks(descriptor: int, path: Path, site: StoredSite) -> Iterator[str]:
    layout = site.layout
    for block, wanted in enumerate(site.checksums):
        digest, position = xxhash.xxh3_64(), site.offset + block * layout.block_bytes
        end = position + layout.block_bytes
        while position < end:
            chunk = os.pread(descriptor, min(READ_BYTES, end - position), position)
            if not chunk:
                break
            digest.update(chunk)
            position += len(chunk)
        if digest.hexdigest() != wanted:
            where = f"{layout.site}[{layout.dims[0]} {block}]" if layout.blocks > 1 else layout.site
            yield f"{path}: {where} was altered"

"""Packing: the shards of many units joined into few files, unit by unit the same run to every reader.

The joined file is published first; then its record, which counts more than the commits it stands for; then these go, and
the shards that nothing speaks of any more. Killed anywhere, every unit has a commit or a record whose file is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from actlas.store.errors import DamagedStore, StoreError
from actlas.store.format.schema import Commit, Json, SiteLayout, canonical
from actlas.store.io.durable import publish_file
from actlas.store.io.safe_open import LARGEST_JOINED
from actlas.store.io.workspace import Workspace, sweep, workspace
from actlas.store.reading.blocks import Piece, read_stored
from actlas.store.runs.commit import stem, with_tail
from actlas.store.runs.holdings import packing_lock, publish_joined, settle
from actlas.store.runs.joined import Joined, join_commits
from actlas.store.runs.run import Run
from actlas.store.writing.several import Several, narrow_layout, write_units
from actlas.store.writing.shard import ShardWriter

MOST_BYTES = 1 << 30  # of the sites in a joined file: what packing takes of the disk meanwhile


@dataclass(frozen=True)
class Packed:
    """Files of a run before and after, and how many units have another file now."""

    before: int
    after: int
    units: int

    def to_json(self) -> Json:
        """Return the JSON form."""
        return {"files": {"before": self.before, "after": self.after}, "units": self.units}


def pack(
    run: Run, most_bytes: int = MOST_BYTES, progress: Callable[[int, int], None] = lambda *_: None
) -> Packed:
    """Join the shards of consecutive units with the same sites, up to ``most_bytes`` of sites a file.

    progress: called with the bytes of each block as it is written, and those of all. Identity, units and values stay.
    Raises DamagedStore where a shard is altered, before its commit is touched: `verify --repair` comes first then.
    """
    with workspace(run.folder) as work, packing_lock(run.folder):
        settle(run.folder, work.folder)  # what one before was killed over
        run.refresh()
        before = {commit.file for commit in run.commits}
        groups = list(_groups(run.commits, most_bytes))
        total = sum(_nbytes(commit) for group in groups for commit in group)
        for number, group in enumerate(groups):
            _publish(
                run, _join(run, group, work, number, lambda nbytes: progress(nbytes, total)), work
            )
            settle(run.folder, work.folder)
            sweep(run.folder)
    run.refresh()
    return Packed(len(before), len({commit.file for commit in run.commits}), sum(map(len, groups)))


def rewrite(run: Run, file: str) -> bool:
    """Write a file of ``run`` anew from its units' blocks and labels; return whether it has any.

    For a file whose HDF5 part is damaged. Raises DamagedStore where a block or label is too.
    """
    with workspace(run.folder) as work, packing_lock(run.folder):
        run.refresh()
        group = [commit for commit in run.commits if commit.file == file]
        if group:
            _publish(run, _join(run, group, work, 0, lambda _: None), work)
        settle(run.folder, work.folder)
        sweep(run.folder)
    run.refresh()
    return bool(group)


def _groups(commits: tuple[Commit, ...], most_bytes: int) -> Iterator[list[Commit]]:
    """Yield the commits that go into one file each; those that lie so already are left out."""
    kinds: dict[frozenset[SiteLayout], list[Commit]] = {}
    for commit in commits:
        kind = frozenset(narrow_layout(site.layout, 0) for site in commit.sites.values())
        kinds.setdefault(kind, []).append(commit)
    for alike in kinds.values():
        users = Counter(commit.file for commit in alike)
        group: list[Commit] = []
        held = recorded = 0
        for commit in alike:
            record = len(canonical(commit.to_json()))  # more than its part of the joined record
            if group and (
                held + _nbytes(commit) > most_bytes or recorded + record > LARGEST_JOINED
            ):
                yield from _unless_done(group, users)
                group, held, recorded = [], 0, 0
            group.append(commit)
            held, recorded = held + _nbytes(commit), recorded + record
        yield from _unless_done(group, users)


def _unless_done(group: list[Commit], users: Counter[str]) -> Iterator[list[Commit]]:
    files = {commit.file for commit in group}
    alone = sum(users[file] for file in files) == len(group)
    if len(files) > 1 or (len(group) > 1 and not alone):
        yield group


def _nbytes(commit: Commit) -> int:
    return sum(site.layout.nbytes for site in commit.sites.values())


def _join(
    run: Run, group: list[Commit], work: Workspace, number: int, progress: Callable[[int], None]
) -> tuple[Path, Joined]:
    """Write the file of a group aside, with its record; every byte that goes into it is checked."""
    run.check_labels(group)
    tokens = sum(commit.unit.tokens for commit in group)
    layouts = [narrow_layout(site.layout, tokens) for site in group[0].sites.values()]
    path = (
        work.folder / f"{stem(group[0].unit.number, group[0].sites)}-pack{number}-{work.token}.h5"
    )

    def read(index: int, site: str, block: int) -> npt.NDArray[Any]:
        commit = group[index]
        rows = read_stored(
            Piece(
                run.path(commit), commit.size, commit.sites[site], commit.sites[site].layout.blocks
            ),
            block,
            check=True,
        )
        progress(rows.nbytes)
        return rows

    numbers = f"{group[0].unit.number}-{group[-1].unit.number}"
    attributes = {"actlas_run": run.id, "actlas_units": numbers}
    writer = ShardWriter(path, layouts, run.labels_of(group), attributes)
    try:
        several = write_units(writer, layouts, [commit.unit for commit in group], read)
        joined, tail = with_tail(_record(group, several, path.name))
        writer.close(tail)
    except BaseException:
        writer.drop()
        raise
    return path, joined


def _publish(run: Run, made: tuple[Path, Joined], work: Workspace) -> None:
    """Publish a joined file, then its record: from now on it, not the commits of its units, says where their sites lie."""
    shard, joined = made
    if not publish_file(shard, run.folder / "shards" / shard.name):
        raise DamagedStore(
            f"{shard.name} exists although its name is new: the store was written by something else"
        )
    publish_joined(run.folder, joined, work.folder)


def _record(group: list[Commit], several: Several, file: str) -> Joined:
    """Return the record of a joined file; its ``size`` is that of the HDF5 part."""
    moved = []
    for index, commit in enumerate(group):
        sites = several.sites(index)
        if any(sites[site].checksums != old.checksums for site, old in commit.sites.items()):
            raise StoreError(
                f"{file}: blocks of unit {commit.unit.number} changed while they were joined: see `actlas verify`"
            )
        whole = several.record
        moved.append(
            replace(
                commit,
                file=file,
                size=whole.size,
                sites=sites,
                labels=several.labels(index),
                rest=whole.rest,
            )
        )
    return join_commits(moved, several.record.sites, several.record.labels)

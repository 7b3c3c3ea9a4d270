"""Packing: the shards of many units packed into few files.

Unit by unit the same run to every reader.

The packed file is published first; then its record, which counts more than the commits it stands
for; then these go, and the shards that nothing speaks of any more. Killed anywhere, every unit has
a commit or a record whose file is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from actlas.store.errors import StoreError
from actlas.store.format.commit_record import CommitRecord, UnitLocation
from actlas.store.format.pools import pool
from actlas.store.format.schema import Json, seal, stem
from actlas.store.io.durable import publish_file
from actlas.store.io.safe_open import LARGEST_PACKED
from actlas.store.io.workspace import Workspace, collect_garbage, workspace
from actlas.store.labels.labels import IntArray, KeptTokens, Labels, join_labels
from actlas.store.reading.blocks import BlockSource, read_stored
from actlas.store.reading.stored_labels import check_labels, read_labels, read_masks
from actlas.store.runs.commits import publish_packed, taken, with_tail
from actlas.store.runs.packed import packing_lock, settle
from actlas.store.runs.run import Run
from actlas.store.writing.multi_unit import MultiUnitShard, write_units
from actlas.store.writing.shard import ShardWriter

MOST_BYTES = 1 << 30  # of the sites in a packed shard: what packing takes of the disk meanwhile


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
    """Pack the shards of consecutive units with the same sites.

    A packed file has at most ``most_bytes`` of sites.

    progress: called with the bytes of each block as it is written, and those of all. Identity,
    units and values stay.
    Raises DamagedStore where a shard is altered, before its commit is touched: `verify --repair`
    comes first then.
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
            collect_garbage(run.folder)
    run.refresh()
    return Packed(len(before), len({commit.file for commit in run.commits}), sum(map(len, groups)))


def rewrite(run: Run, file: str) -> bool:
    """Write a file of ``run`` again from its units' blocks and labels; return whether it has any.

    For a file whose HDF5 part is damaged. Raises DamagedStore where a block or label is too.
    """
    with workspace(run.folder) as work, packing_lock(run.folder):
        run.refresh()
        group = [commit for commit in run.commits if commit.file == file]
        if group:
            _publish(run, _join(run, group, work, 0, lambda _: None), work)
        settle(run.folder, work.folder)
        collect_garbage(run.folder)
    run.refresh()
    return bool(group)


def _groups(commits: tuple[UnitLocation, ...], most_bytes: int) -> Iterator[list[UnitLocation]]:
    """Yield the units that go into one file each; those that lie so already are left out."""
    kinds: dict[Any, list[UnitLocation]] = {}
    for commit in commits:
        # narrow(0): units of other lengths have the same kind
        kind = frozenset(site.layout.narrow(0) for site in commit.record.sites.values())
        kept = commit.record.kept
        kinds.setdefault((kind, kept and (kept.digest, kept.tokens)), []).append(commit)
    for alike in kinds.values():
        users = Counter(commit.file for commit in alike)
        group: list[UnitLocation] = []
        held = recorded = 0
        for commit in alike:
            nbytes, record = _nbytes(commit), _record_bytes(commit)
            # the record is bounded too: readers refuse a larger one
            if group and (held + nbytes > most_bytes or recorded + record > LARGEST_PACKED):
                yield from _unless_done(group, users)
                group, held, recorded = [], 0, 0
            group.append(commit)
            held, recorded = held + nbytes, recorded + record
        yield from _unless_done(group, users)


def _unless_done(group: list[UnitLocation], users: Counter[str]) -> Iterator[list[UnitLocation]]:
    files = {commit.file for commit in group}
    # a file that holds exactly this group is packed already
    alone = sum(users[file] for file in files) == len(group)
    if len(files) > 1 or (len(group) > 1 and not alone):
        yield group


def _nbytes(commit: UnitLocation) -> int:
    return sum(site.layout.nbytes for site in commit.sites.values())


def _record_bytes(commit: UnitLocation) -> int:
    """Return the bytes of the record that the unit would have alone.

    That is more than its part of the record of many units.
    """
    record = commit.record
    pools, members = pool([commit])
    alone = replace(
        record,
        units=(commit.unit,),
        dropped=frozenset(),
        checksums={name: "".join(site.checksums) for name, site in commit.sites.items()},
        label_checksums={
            name: record.label_checksum(name, commit.member) for name in record.labels
        },
        kept=record.kept and replace(record.kept, rows=(commit.rows,)),
        pools=pools,
        members=members,
    )
    return len(seal(alone.to_json()))


def _join(
    run: Run,
    group: list[UnitLocation],
    work: Workspace,
    number: int,
    progress: Callable[[int], None],
) -> tuple[Path, CommitRecord]:
    """Write the file of a group, with its record; every byte that goes into it is checked."""
    check_labels((run.path(commit), commit.record) for commit in group)
    rows = sum(commit.rows for commit in group)
    sites = [commit.sites for commit in group]
    layouts = [site.layout.narrow(rows) for site in sites[0].values()]
    path = (
        work.folder / f"{stem(group[0].unit.number, group[0].holds)}-pack{number}-{work.token}.h5"
    )

    def read(index: int, site: str, number: int) -> npt.NDArray[Any]:
        commit, stored = group[index], sites[index][site]
        source = BlockSource(run.path(commit), commit.size, stored, stored.layout.numbers)
        rows = read_stored(source, number, check=True)
        progress(rows.nbytes)
        return rows

    numbers = f"{group[0].unit.number}-{group[-1].unit.number}"
    attributes = {"actlas_run": run.id, "actlas_units": numbers}
    labels = list(_labels(run, group))
    writer = ShardWriter(path, layouts, join_labels(labels), attributes)
    try:
        shard = write_units(writer, layouts, [commit.unit for commit in group], read)
        record, tail = with_tail(_record(group, shard, path.name))
        writer.close(tail)
    except BaseException:
        writer.drop()
        raise
    return path, record


def _labels(run: Run, group: list[UnitLocation]) -> Iterator[Labels]:
    """Yield the labels of each unit, and which of its tokens have rows where not all have."""
    masks: dict[str, list[IntArray]] = {}
    for location in group:
        path, record = run.path(location), location.record
        labels = read_labels(path, location.size, location.labels)
        if record.kept:
            if record.file not in masks:
                masks[record.file] = read_masks(path, record)
            mask = masks[record.file][location.member]
            labels = replace(labels, kept=KeptTokens(record.kept.digest, record.kept.tokens, mask))
        yield labels


def _publish(run: Run, made: tuple[Path, CommitRecord], work: Workspace) -> None:
    """Publish a packed shard, then its record.

    From now on the record says where the sites of its units lie.
    """
    shard, record = made
    # killed between these two, the shard has no record: the next writer removes it as garbage
    if not publish_file(shard, run.folder / "shards" / shard.name):
        raise taken(run.folder / "shards" / shard.name)
    publish_packed(run.folder, record, work.folder)


def _record(group: list[UnitLocation], shard: MultiUnitShard, file: str) -> CommitRecord:
    """Return the record of a packed shard, held against what the units' records said before."""
    for site, found in shard.checksums.items():
        before = "".join("".join(each.record.site(each.member, site).checksums) for each in group)
        if before != found:
            raise StoreError(
                f"{file}: blocks of {site} changed while they were packed: see `actlas verify`"
            )
    return shard.commit(group[0].run, file, group)

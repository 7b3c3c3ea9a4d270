"""The commit of several units at once: one record for a joined file, instead of one a unit; small, and opened in one go.

It says of the whole file what a commit says of a shard, and of each unit what only that has: checksums, provenance, proofs.
Like a shard it never changes: who drops units from it publishes another with the next number, and then removes the old one.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from actlas.store.commit import FILE, SUFFIX, read_commit, stem
from actlas.store.durable import make_folder, publish_bytes, sync_folder
from actlas.store.errors import DamagedStore, StoreError
from actlas.store.opening import LARGEST_JOINED, listed, read_record
from actlas.store.schema import (
    FORMAT_VERSION,
    Commit,
    Json,
    SharedSite,
    SiteLayout,
    StoredLabel,
    StoredSite,
    Unit,
    canonical,
    seal,
    unseal,
)
from actlas.store.several import narrow_layout, rows_of
from actlas.store.soundness import check_joined

FOLDER = "joined"
FORMAT_JOINED = "actlas-joined"
NAME = re.compile(r"([0-9]{8})-[A-Za-z0-9-]+\.json")
DIGITS = 16  # of a checksum
POOLED = ("provenance", "edits", "upstream", "shared")  # what units may have in common, each value kept once
ATTEMPTS = 10  # at reading a folder of records that are replaced meanwhile


@dataclass(frozen=True)
class Joined:
    """The units of one file, in its order, and those among them that are no longer part of the run."""

    run: str
    units: tuple[Unit, ...]
    gone: frozenset[int]  # numbers in ``units``
    file: str
    size: int
    sites: dict[str, StoredSite]  # over all units; without checksums
    labels: dict[str, StoredLabel]  # over all units
    rest: str
    checksums: dict[str, str]  # site → those of all units' blocks, unit by unit, one behind the other
    pools: dict[str, list[Any]]  # POOLED → distinct values
    members: dict[str, list[int]]  # POOLED → for each unit which of these
    name: str = ""  # of the record

    @cached_property
    def bulk(self) -> tuple[tuple[int, int], ...]:
        """The spans that hold the sites of all units."""
        return tuple(sorted((site.offset, site.offset + site.layout.nbytes) for site in self.sites.values()))

    @cached_property
    def first_tokens(self) -> list[int]:
        """First token of each unit in the file, and the number of all."""
        return list(accumulate((unit.tokens for unit in self.units), initial=0))

    @cached_property
    def first_sentences(self) -> list[int]:
        """First sentence of each unit in the file, and the number of all."""
        return list(accumulate((unit.sentences for unit in self.units), initial=0))

    @cached_property
    def covers(self) -> frozenset[tuple[int, frozenset[str]]]:
        """Unit and sites of all that it makes part of the run."""
        return frozenset((self.units[index].number, self.holds(index)) for index in self.present)

    @cached_property
    def present(self) -> list[int]:
        """Numbers in ``units`` of those that are part of the run."""
        return [index for index in range(len(self.units)) if index not in self.gone]

    def shared_of(self, index: int) -> dict[str, SharedSite]:
        """Return what a unit shares with the baseline."""
        shared: dict[str, SharedSite] = self.pools["shared"][self.members["shared"][index]]
        return shared

    def holds(self, index: int) -> frozenset[str]:
        """Sites that a unit has by this record, shared ones among them."""
        return self._holds[self.members["shared"][index]]

    @cached_property
    def _holds(self) -> list[frozenset[str]]:
        return [frozenset(self.sites) | frozenset(shared) for shared in self.pools["shared"]]

    @cached_property
    def _layouts(self) -> dict[tuple[str, int], SiteLayout]:
        return {
            (name, tokens): narrow_layout(site.layout, tokens)
            for name, site in self.sites.items()
            for tokens in {unit.tokens for unit in self.units}
        }

    def site(self, index: int, name: str) -> StoredSite:
        """Return where a site of a unit lies."""
        whole, layout = self.sites[name], self._layouts[name, self.units[index].tokens]
        width = DIGITS * layout.blocks
        text = self.checksums[name][index * width : (index + 1) * width]
        checksums = tuple([text[start : start + DIGITS] for start in range(0, width, DIGITS)])
        stride = whole.layout.block_bytes if layout.blocks > 1 else 0
        return StoredSite(layout, whole.offset + self.first_tokens[index] * layout.row_bytes, checksums, stride)

    def labels_of(self, first: int, last: int) -> dict[str, StoredLabel]:
        """Return where the labels of the units ``first`` … ``last`` lie."""
        starts = {"token": self.first_tokens, "sentence": self.first_sentences}
        return {
            name: rows_of(label, starts[label.dims[0]][first], starts[label.dims[0]][last + 1] - starts[label.dims[0]][first])
            for name, label in self.labels.items()
        }

    def commit(self, index: int) -> Commit:
        """Return the commit that a unit would have of its own."""
        provenance, edits, upstream, shared = (self.pools[name][self.members[name][index]] for name in POOLED)
        sites = {name: self.site(index, name) for name in self.sites}
        labels, unit = self.labels_of(index, index), self.units[index]
        return Commit(
            self.run, unit, self.file, self.size, sites, labels, self.rest, provenance, edits, upstream, shared, self.bulk
        )

    def commit_name(self, index: int) -> str:
        """Return the name of that commit's file."""
        return stem(self.units[index].number, self.holds(index)) + SUFFIX

    def to_json(self) -> Json:
        """Return the JSON form, checksum left out."""
        return {
            "format": FORMAT_JOINED,
            "version": FORMAT_VERSION,
            "run": self.run,
            "units": [[unit.number, unit.first, unit.sentences, unit.tokens] for unit in self.units],
            "gone": sorted(self.gone),
            "file": self.file,
            "size": self.size,
            "sites": {name: {"layout": asdict(site.layout), "offset": site.offset} for name, site in self.sites.items()},
            "labels": {name: asdict(label) for name, label in self.labels.items()},
            "rest": self.rest,
            "checksums": self.checksums,
            "pools": {name: self.pools[name] for name in POOLED if name != "shared"}
            | {"shared": [{site: asdict(each) for site, each in shared.items()} for shared in self.pools["shared"]]},
            "members": self.members,
        }

    @classmethod
    def from_json(cls, record: Json, name: str) -> Joined:
        """Build from ``to_json``'s form and check it; raises ValueError, KeyError, TypeError, … where something is wrong."""
        fields = {key: value for key, value in record.items() if key not in ("format", "version")}
        sites = {
            site: StoredSite(_layout(given["layout"]), int(given["offset"]), ()) for site, given in fields.pop("sites").items()
        }
        labels = {
            label: StoredLabel(tuple(given["dims"]), tuple(given["shape"]), given["dtype"], int(given["offset"]))
            for label, given in fields.pop("labels").items()
        }
        units = tuple(Unit(*unit) for unit in fields.pop("units"))
        pools = dict(fields.pop("pools"))
        pools["shared"] = [
            {site: SharedSite(each["run"], tuple(each["checksums"])) for site, each in shared.items()}
            for shared in pools["shared"]
        ]
        gone = frozenset(fields.pop("gone"))
        joined = cls(units=units, gone=gone, sites=sites, labels=labels, pools=pools, name=name, **fields)
        if not FILE.fullmatch(str(joined.file)):
            raise ValueError(f"a file outside its run, {str(joined.file)[:100]!r},")
        if set(pools) != set(POOLED) or set(joined.members) != set(POOLED):
            raise ValueError("what units have in common")
        check_joined(joined)
        return joined


def join_commits(commits: Sequence[Commit], sites: dict[str, StoredSite], labels: dict[str, StoredLabel]) -> Joined:
    """Return the record of ``commits`` that lie in one file by now; its ``sites`` and ``labels`` over all units."""
    checksums = {name: "".join("".join(commit.sites[name].checksums) for commit in commits) for name in sites}
    pools: dict[str, list[Any]] = {name: [] for name in POOLED}
    members: dict[str, list[int]] = {name: [] for name in POOLED}
    for name in POOLED:
        known: dict[bytes, int] = {}
        for commit in commits:
            value = getattr(commit, name)
            key = repr(sorted(value.items())).encode() if name == "shared" else canonical(value)
            if key not in known:
                known[key] = len(pools[name])
                pools[name].append(value)
            members[name].append(known[key])
    first = commits[0]
    bare = {name: StoredSite(site.layout, site.offset, ()) for name, site in sites.items()}
    units = tuple(commit.unit for commit in commits)
    return Joined(first.run, units, frozenset(), first.file, first.size, bare, labels, first.rest, checksums, pools, members)


def _layout(record: Json) -> SiteLayout:
    return SiteLayout(**{**record, "dims": tuple(record["dims"]), "shape": tuple(record["shape"])})


def publish_joined(run_folder: Path, joined: Joined, aside: Path) -> Path:
    """Publish a record under the next number, which makes it the one that counts for its units. The caller holds the lock."""
    content = seal(joined.to_json())
    if len(content) > LARGEST_JOINED:
        raise StoreError(f"the record of {len(joined.units)} joined units has {len(content)} bytes: pack with a smaller --most")
    last = max((int(path.name[:8]) for path in joined_paths(run_folder)), default=-1)
    path = run_folder / FOLDER / f"{last + 1:08d}-{Path(joined.file).stem}{SUFFIX}"
    if not publish_bytes(content, path, aside=aside):
        raise DamagedStore(f"{path} exists although its number is new: the store was written by something else")
    return path


def joined_paths(run_folder: Path) -> list[Path]:
    """Return the records of joined files, those that count more first."""
    return [path for path in reversed(listed(run_folder / FOLDER, SUFFIX)) if NAME.fullmatch(path.name)]


@lru_cache(maxsize=64)
def _read(path: Path, _inode: int, _mtime: int) -> Joined:
    record = unseal(read_record(path, LARGEST_JOINED), str(path), FORMAT_JOINED)
    try:
        return Joined.from_json(record, path.name)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError) as error:
        raise DamagedStore(f"{path} lacks a field or has a wrong one ({error}): remove it and extract again") from error


def read_joined(path: Path) -> Joined:
    """Read one record, or take it as it was read before; raises DamagedStore naming it, FileNotFoundError."""
    found = path.lstat()
    return _read(path, found.st_ino, found.st_mtime_ns)


def read_holdings(run_folder: Path) -> list[Commit | Joined]:
    """Return all that makes units part of a run: what is joined, and the commits that are in none of it.

    Commits first, records after: what is joined meanwhile is found in one or the other. Raises DamagedStore.
    """
    commits = [commit for path in listed(run_folder / "commits", SUFFIX) if (commit := _if_there(path))]
    joined = without_doubles(read_records(run_folder))
    covered = [each.covers for each in joined]
    return [*joined, *(commit for commit in commits if not any((commit.unit.number, commit.holds) in each for each in covered))]


def read_records(run_folder: Path) -> list[Joined]:
    """Return the records of joined files, those that count more first; raises DamagedStore."""
    for _ in range(ATTEMPTS):
        try:
            return [read_joined(path) for path in joined_paths(run_folder)]
        except FileNotFoundError:  # replaced meanwhile by one with a higher number
            continue
    raise DamagedStore(f"{run_folder / FOLDER} changes all the time: try again")


def _if_there(path: Path) -> Commit | None:
    try:
        return read_commit(path)
    except FileNotFoundError:
        return None


def without_doubles(joined: Sequence[Joined]) -> list[Joined]:
    """Return the records, each without the units that one before it has with the same sites; those with none left out."""
    if len(joined) < 2:
        return list(joined)
    told: set[tuple[int, frozenset[str]]] = set()
    kept = []
    for each in joined:
        here = {index: (each.units[index].number, each.holds(index)) for index in each.present}
        doubled = {index for index, work in here.items() if work in told}
        told.update(here.values())
        left = replace(each, gone=each.gone | doubled) if doubled else each
        if left.present:
            kept.append(left)
    return kept


def expand(holdings: Sequence[Commit | Joined]) -> Iterator[Commit]:
    """Yield every commit."""
    for holding in holdings:
        if isinstance(holding, Commit):
            yield holding
        else:
            yield from (holding.commit(index) for index in holding.present)


def replace_joined(run_folder: Path, old: Path, new: Joined, aside: Path) -> None:
    """Put a record with fewer units, or nothing where none is left, in the place of ``old``. The caller holds the lock."""
    if new.present:
        publish_joined(run_folder, new, aside)
    old.unlink(missing_ok=True)
    sync_folder(old.parent)


def committed_files(run_folder: Path, but: Sequence[Path]) -> set[str]:
    """Return the shards that any commit or record speaks of, those in ``but`` left out."""
    left_out = set(but)
    paths = [path for path in listed(run_folder / "commits", SUFFIX) if path not in left_out]
    commits = {commit.file for path in paths if (commit := _if_there(path))}
    return commits | {each.file for each in read_records(run_folder) if run_folder / FOLDER / each.name not in left_out}


def has_joined(run_folder: Path, unit: int, holds: frozenset[str]) -> bool:
    """Whether a joined file has these sites of a unit: then another writer was first, and its commit is no file any more."""
    return any((unit, holds) in joined.covers for joined in read_records(run_folder))


@contextmanager
def packing_lock(run_folder: Path) -> Iterator[None]:
    """Wait for and hold the lock of those who replace records: packing, sweeping and repair take turns."""
    make_folder(run_folder / FOLDER)
    descriptor = os.open(run_folder / FOLDER, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def superseded(run_folder: Path) -> list[Path]:
    """Return the commits and records for all of which a record stands: what a packing that was killed has not yet removed."""
    records = read_records(run_folder)
    if not records:
        return []
    counting = {joined.name for joined in without_doubles(records)}
    names = {joined.commit_name(index) for joined in records for index in joined.present}
    old = [path for path in listed(run_folder / "commits", SUFFIX) if path.name in names]
    return [*old, *(run_folder / FOLDER / joined.name for joined in records if joined.name not in counting)]


def settle(run_folder: Path, aside: Path) -> None:
    """Remove what is superseded, and rewrite records that have a unit which a later one has. The caller holds the lock."""
    for path in superseded(run_folder):
        path.unlink(missing_ok=True)
    records = read_records(run_folder)
    kept = {joined.name: joined for joined in without_doubles(records)}
    for before in records:
        after = kept[before.name]  # what had none left is gone by now
        if before.gone != after.gone:
            replace_joined(run_folder, run_folder / FOLDER / before.name, after, aside)
    sync_folder(run_folder / "commits")

"""The commit of several units at once: one record for a joined file, instead of one a unit; small, and opened in one go.

It says of the whole file what a commit says of a shard, and of each unit what only that has: checksums, provenance, proofs.
Like a shard it never changes: who drops units from it publishes another, see ``store.holdings``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

from actlas.store.format.schema import (
    FORMAT_VERSION,
    Commit,
    Json,
    SharedSite,
    SiteLayout,
    StoredLabel,
    StoredSite,
    Unit,
    canonical,
    data_spans,
)
from actlas.store.format.validation import check_joined
from actlas.store.runs.commit import FILE, SUFFIX, stem
from actlas.store.writing.several import narrow_layout, rows_of

FORMAT_JOINED = "actlas-joined"
DIGITS = 16  # of a checksum
POOLED = (
    "provenance",
    "edits",
    "upstream",
    "shared",
)  # what units may have in common, each value kept once


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
    checksums: dict[
        str, str
    ]  # site → those of all units' blocks, unit by unit, one behind the other
    label_checksums: dict[str, str]  # label → one of each unit's rows
    pools: dict[str, list[Any]]  # POOLED → distinct values
    members: dict[str, list[int]]  # POOLED → for each unit which of these
    hdf5: int = 0  # bytes of the HDF5 part of the file; its copy of this record follows
    name: str = ""  # of the record

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """The spans that hold the sites and labels of all units, and the file's own copy of the record."""
        return (*data_spans(self.sites, self.labels), (self.hdf5, self.size))

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

    @cached_property
    def sharing(self) -> frozenset[str]:
        """Sites of which some unit has blocks of its baseline."""
        return frozenset(site for shared in self.pools["shared"] for site in shared)

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
        return StoredSite(
            layout, whole.offset + self.first_tokens[index] * layout.row_bytes, checksums, stride
        )

    def labels_of(self, first: int, last: int) -> dict[str, StoredLabel]:
        """Return where the labels of the units ``first`` … ``last`` lie."""
        starts = {"token": self.first_tokens, "sentence": self.first_sentences}
        return {
            name: rows_of(
                label,
                starts[label.dims[0]][first],
                starts[label.dims[0]][last + 1] - starts[label.dims[0]][first],
            )
            for name, label in self.labels.items()
        }

    def label_checksum(self, name: str, index: int) -> str:
        """Return the checksum of a unit's rows of a label."""
        return self.label_checksums[name][DIGITS * index : DIGITS * (index + 1)]

    def commit(self, index: int) -> Commit:
        """Return the commit that a unit would have of its own."""
        provenance, edits, upstream, shared = (
            self.pools[name][self.members[name][index]] for name in POOLED
        )
        sites = {name: self.site(index, name) for name in self.sites}
        labels = {
            name: replace(label, checksum=self.label_checksum(name, index))
            for name, label in self.labels_of(index, index).items()
        }
        unit = self.units[index]
        return Commit(
            self.run,
            unit,
            self.file,
            self.size,
            sites,
            labels,
            self.rest,
            provenance,
            edits,
            upstream,
            shared,
            self.spans,
            self.hdf5,
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
            "units": [
                [unit.number, unit.first, unit.sentences, unit.tokens] for unit in self.units
            ],
            "gone": sorted(self.gone),
            "file": self.file,
            "size": self.size,
            "hdf5": self.hdf5,
            "sites": {
                name: {"layout": asdict(site.layout), "offset": site.offset}
                for name, site in self.sites.items()
            },
            "labels": {name: _bare(label) for name, label in self.labels.items()},
            "rest": self.rest,
            "checksums": self.checksums,
            "label_checksums": self.label_checksums,
            "pools": {name: self.pools[name] for name in POOLED if name != "shared"}
            | {
                "shared": [
                    {site: asdict(each) for site, each in shared.items()}
                    for shared in self.pools["shared"]
                ]
            },
            "members": self.members,
        }

    @classmethod
    def from_json(cls, record: Json, name: str) -> Joined:
        """Build from ``to_json``'s form; raises ValueError, KeyError, TypeError, … for a wrong one."""
        fields = {key: value for key, value in record.items() if key not in ("format", "version")}
        sites = {
            site: StoredSite(_layout(given["layout"]), int(given["offset"]), ())
            for site, given in fields.pop("sites").items()
        }
        labels = {
            label: StoredLabel(
                tuple(given["dims"]), tuple(given["shape"]), given["dtype"], int(given["offset"])
            )
            for label, given in fields.pop("labels").items()
        }
        units = tuple(Unit(*unit) for unit in fields.pop("units"))
        pools = dict(fields.pop("pools"))
        pools["shared"] = [
            {
                site: SharedSite(each["run"], tuple(each["checksums"]))
                for site, each in shared.items()
            }
            for shared in pools["shared"]
        ]
        gone = frozenset(fields.pop("gone"))
        joined = cls(
            units=units, gone=gone, sites=sites, labels=labels, pools=pools, name=name, **fields
        )
        if not FILE.fullmatch(str(joined.file)):
            raise ValueError(f"a file outside its run, {str(joined.file)[:100]!r},")
        if set(pools) != set(POOLED) or set(joined.members) != set(POOLED):
            raise ValueError("what units have in common")
        check_joined(joined)
        return joined


#: what makes units part of a run
Holding = Commit | Joined
Work = tuple[int, frozenset[str]]  # number of a unit, and its sites


def join_commits(
    commits: Sequence[Commit], sites: dict[str, StoredSite], labels: dict[str, StoredLabel]
) -> Joined:
    """Return the record of ``commits`` that lie in one file by now; its ``sites`` and ``labels`` over all units."""
    checksums = {
        name: "".join("".join(commit.sites[name].checksums) for commit in commits) for name in sites
    }
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
    labels_of = {
        name: "".join(commit.labels[name].checksum for commit in commits) for name in labels
    }
    labels = {name: replace(label, checksum="") for name, label in labels.items()}
    bare = {name: StoredSite(site.layout, site.offset, ()) for name, site in sites.items()}
    units = tuple(commit.unit for commit in commits)
    return Joined(
        first.run,
        units,
        frozenset(),
        first.file,
        first.size,
        bare,
        labels,
        first.rest,
        checksums,
        labels_of,
        pools,
        members,
    )


def _bare(label: StoredLabel) -> Json:
    record = asdict(label)
    del record["checksum"]
    return record


def _layout(record: Json) -> SiteLayout:
    return SiteLayout(**{**record, "dims": tuple(record["dims"]), "shape": tuple(record["shape"])})

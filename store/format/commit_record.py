"""The commit record.

What makes the units of one file part of a run, whether the file holds one unit or thousands.

It describes the file as a whole (sites, labels, sizes) and keeps what differs between units in
columns, so the record of 10 000 units stays small. The same record stands behind the HDF5 part of
its file, see ``format.tail``::

{"units": [[0, 0, 3, 8], [1, 3, 1, 2]], "dropped": [], "file": "00000000-….h5", "size": 20480,
"hdf5": 19120, "sites": {"q": {"layout": {…}, "offset": 4096}}, "checksums": {"q": "<16 digits a
block, unit by unit>"}, "labels": {…}, "label_checksums": {"text": "<16 digits a unit>"},
"metadata_checksum": "…", "pools": {"edits": [[]], …}, "members": {"edits": [0, 0], …}, …}

A record never changes: whoever drops units publishes another one, see ``runs.packed``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

from actlas.store.format.parts import WHOLE, Kept, Parts, SitePart, parts_of, together
from actlas.store.format.schema import (
    FORMAT_VERSION,
    SUFFIX,
    Json,
    SharedSite,
    SiteLayout,
    StoredLabel,
    StoredSite,
    Unit,
    as_tuple,
    data_spans_of,
    seal,
    shared_sites,
    stem,
)
from actlas.store.format.tail import tail_bytes

FORMAT_COMMIT = "actlas-commit"
DIGITS = 16  # of a checksum
DERIVED = ("format", "version")

Work = tuple[int, Parts]  # number of a unit, and what of its sites


@dataclass(frozen=True)
class CommitRecord:
    """The units of one file, in order of their rows; some may be no longer part of the run."""

    run: str
    units: tuple[Unit, ...]
    file: str
    size: int  # bytes of the file
    sites: Mapping[str, StoredSite]  # over all units, without checksums
    labels: Mapping[str, StoredLabel]  # over all units, without checksums
    metadata_checksum: str  # XXH3-64 of all bytes of the HDF5 part outside sites and labels
    checksums: Mapping[str, str]  # site → those of all blocks of the first unit, of the second, …
    label_checksums: Mapping[str, str]  # label → one for the rows of each unit
    pools: Mapping[str, list[Any]]  # POOLED → distinct values
    members: Mapping[str, list[int]]  # POOLED → for each unit which of these
    hdf5: int = 0  # bytes of the HDF5 part, behind which the file has a copy of this record
    dropped: frozenset[int] = frozenset()  # indices in ``units``
    kept: Kept | None = None  # the tokens whose rows it has; all where None
    name: str = field(default="", compare=False)  # of its file

    @cached_property
    def data_spans(self) -> tuple[tuple[int, int], ...]:
        """Start and end of what is not HDF5's: sites, labels, the copy of the record."""
        return (*data_spans_of(self.sites, self.labels), (self.hdf5, self.size))

    @cached_property
    def first_tokens(self) -> list[int]:
        """First token of each unit in the file, and the number of all."""
        return list(accumulate((unit.tokens for unit in self.units), initial=0))

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """How many rows its sites have of each unit."""
        return self.kept.rows if self.kept else tuple(unit.tokens for unit in self.units)

    @cached_property
    def first_rows(self) -> list[int]:
        """First row of each unit in its sites, and the number of all."""
        return list(accumulate(self.rows, initial=0))

    @cached_property
    def first_sentences(self) -> list[int]:
        """First sentence of each unit in the file, and the number of all."""
        return list(accumulate((unit.sentences for unit in self.units), initial=0))

    @cached_property
    def present(self) -> list[int]:
        """Indices in ``units`` of those that are part of the run."""
        return [index for index in range(len(self.units)) if index not in self.dropped]

    @cached_property
    def covers(self) -> frozenset[Work]:
        """Unit and parts of sites of all that it makes part of the run."""
        return frozenset(self.work(index) for index in self.present)

    @property
    def locations(self) -> list[UnitLocation]:
        """Its units that are part of the run."""
        return [UnitLocation(self, index) for index in self.present]

    @cached_property
    def sharing(self) -> frozenset[str]:
        """Sites of which some unit has blocks of its baseline."""
        return frozenset(site for shared in self.pools["shared"] for site in shared)

    def work(self, index: int) -> Work:
        """Return the number of a unit and the parts of sites that it has."""
        return self.units[index].number, self.holds(index)

    def holds(self, index: int) -> Parts:
        """Return what of sites a unit has by this record, shared blocks among them."""
        return self._holds[self.members["shared"][index]]

    @cached_property
    def _holds(self) -> list[Parts]:
        own, found = [site.layout.part for site in self.sites.values()], []
        kept = self.kept.digest if self.kept else WHOLE
        for pool in self.pools["shared"]:
            shared = [SitePart(name, blocks.numbers) for name, blocks in pool.items()]
            found.append(frozenset(parts_of(together([*shared, *own]), kept)))
        return found

    def pooled(self, name: str, index: int) -> Any:
        """Return the value of a unit of what units may have in common."""
        return self.pools[name][self.members[name][index]]

    @cached_property
    def _layouts(self) -> dict[tuple[str, int], SiteLayout]:
        sizes, sites = set(self.rows), self.sites.items()
        return {(name, size): site.layout.narrow(size) for name, site in sites for size in sizes}

    def site(self, index: int, name: str) -> StoredSite:
        """Return where the own blocks of a site of a unit lie."""
        whole, layout = self.sites[name].layout, self._layouts[name, self.rows[index]]
        width = DIGITS * layout.blocks
        text = self.checksums[name][index * width : (index + 1) * width]
        checksums = tuple([text[start : start + DIGITS] for start in range(0, width, DIGITS)])
        scattered = layout.blocks > 1 and len(self.units) > 1
        offset = self.sites[name].offset + self.first_rows[index] * layout.row_bytes
        return StoredSite(layout, offset, checksums, whole.block_bytes if scattered else 0)

    def labels_of(self, first: int, last: int) -> dict[str, StoredLabel]:
        """Return where the labels of the units ``first`` … ``last`` lie."""
        ends = {"token": self.first_tokens, "sentence": self.first_sentences}
        found = {}
        for name, label in self.labels.items():
            starts = ends[label.dims[0]]
            found[name] = label.rows(starts[first], starts[last + 1] - starts[first])
        return found

    def label_checksum(self, name: str, index: int) -> str:
        """Return the checksum of a unit's rows of a label."""
        return self.label_checksums[name][DIGITS * index : DIGITS * (index + 1)]

    def to_json(self) -> Json:
        """Return the JSON form, checksum left out."""
        places = self.sites.items()
        sites = {name: {"layout": asdict(at.layout), "offset": at.offset} for name, at in places}
        labels = {name: asdict(label) for name, label in self.labels.items()}
        for label in labels.values():
            del label["checksum"]
        pools = self.pools["shared"]
        shared = [{site: asdict(blocks) for site, blocks in each.items()} for each in pools]
        record = {name: value for name, value in vars(self).items() if name in FIELDS}
        return {
            **record,
            **({"kept": asdict(self.kept)} if self.kept else {}),
            "format": FORMAT_COMMIT,
            "version": FORMAT_VERSION,
            "units": [unit.to_list() for unit in self.units],
            "dropped": sorted(self.dropped),
            "sites": sites,
            "labels": labels,
            "pools": {**self.pools, "shared": shared},
        }

    @classmethod
    def from_json(cls, record: Json, name: str = "") -> CommitRecord:
        """Build from ``to_json``'s form; raises KeyError, TypeError, … for another one."""
        fields = {key: value for key, value in record.items() if key not in DERIVED}
        unknown = fields.keys() ^ {*FIELDS, *fields.keys() & {"kept"}}
        if unknown:
            raise KeyError(*sorted(unknown)[:1])
        sites = {}
        for site, given in fields["sites"].items():
            layout = {key: as_tuple(value) for key, value in given["layout"].items()}
            if not layout["numbers"]:  # else as many would be made as the shape says
                raise ValueError(f"{site} without layers or depths")
            sites[site] = StoredSite(SiteLayout(**layout), given["offset"], ())
        labels = {}
        for label, given in fields["labels"].items():
            labels[label] = StoredLabel(**{key: as_tuple(value) for key, value in given.items()})
        shared = [shared_sites(each) for each in fields["pools"]["shared"]]
        fields |= {
            "units": tuple(Unit(*unit) for unit in fields["units"]),
            "dropped": frozenset(fields["dropped"]),
            "sites": sites,
            "labels": labels,
            "pools": {**fields["pools"], "shared": shared},
        }
        if kept := fields.get("kept"):
            fields["kept"] = Kept(kept["digest"], tuple(kept["tokens"]), tuple(kept["rows"]))
        return cls(**fields, name=name)


#: of every record; ``kept`` is left out where all tokens are
FIELDS = tuple(name for name in CommitRecord.__dataclass_fields__ if name not in ("name", "kept"))


class UnitLocation(NamedTuple):
    """One unit by its commit record: which sites it has and where they lie."""

    record: CommitRecord
    member: int  # index in the record's units

    @property
    def run(self) -> str:
        """Id of the run."""
        return self.record.run

    @property
    def unit(self) -> Unit:
        """The unit."""
        return self.record.units[self.member]

    @property
    def rows(self) -> int:
        """Tokens of the unit whose rows it has."""
        return self.record.rows[self.member]

    @property
    def file(self) -> str:
        """Name of the shard."""
        return self.record.file

    @property
    def size(self) -> int:
        """Bytes of the shard, which may hold other units too."""
        return self.record.size

    @property
    def holds(self) -> Parts:
        """Parts of sites of the unit, its own blocks and shared ones."""
        return self.record.holds(self.member)

    @property
    def name(self) -> str:
        """Name of the record that the unit would have alone."""
        return stem(self.unit.number, self.holds) + SUFFIX

    @property
    def sites(self) -> dict[str, StoredSite]:
        """Where its own blocks lie."""
        return {name: self.record.site(self.member, name) for name in self.record.sites}

    @property
    def labels(self) -> dict[str, StoredLabel]:
        """Where its labels lie."""
        labels = self.record.labels_of(self.member, self.member)
        for name, label in labels.items():
            checksum = self.record.label_checksum(name, self.member)
            labels[name] = replace(label, checksum=checksum)
        return labels

    @property
    def shared(self) -> Mapping[str, SharedSite]:
        """What it shares with the baseline."""
        shared: Mapping[str, SharedSite] = self.record.pooled("shared", self.member)
        return shared

    @property
    def provenance(self) -> Json:
        """Versions, device and time of its computation."""
        return dict(self.record.pooled("provenance", self.member))

    @property
    def edits(self) -> list[Json]:
        """The check of each edit: how often it was applied, what it changed."""
        return list(self.record.pooled("edits", self.member))

    @property
    def upstream(self) -> Json:
        """How what comes before the first edit was compared with the baseline."""
        return dict(self.record.pooled("upstream", self.member))


def copy_bytes(record: CommitRecord) -> bytes:
    """Return what stands behind the HDF5 part of a record's file: no unit is dropped there."""
    return tail_bytes(seal(replace(record, dropped=frozenset()).to_json()), FORMAT_COMMIT)

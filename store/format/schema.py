"""The records of store format version 1: what a shard holds, and the JSON of specifications, runs and commits.

A record knows its JSON form; every JSON file carries a checksum of the rest of itself.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import xxhash

from actlas.store.errors import DamagedStore, LaterRecord, quoted

FORMAT = "actlas-store"
FORMAT_COMMIT = "actlas-commit"
FORMAT_VERSION = 1

#: dims along which a site is cut into blocks; a site with neither is one block
BLOCK_DIMS = ("layer", "depth")

StoredDtype = Literal["float32", "float16", "bfloat16"]
#: how the bytes of each stored dtype are seen by NumPy, which has no bfloat16
NUMPY_VIEW: Mapping[str, str] = {"float32": "<f4", "float16": "<f2", "bfloat16": "<u2"}

Json = dict[str, Any]
EXPORT_SUFFIXES = (".h5", ".nc")  # by which the path of an export is told from the name of a run
REMEDY = "restore it from a copy, or remove it and extract again"


@dataclass(frozen=True)
class SiteLayout:
    """One site as a shard holds it."""

    site: str
    dims: tuple[str, ...]  # ("layer", "token", "head", "d_head")
    shape: tuple[int, ...]
    dtype: StoredDtype
    description: str
    first: int = 0  # layer or depth of the first block; a variant's shard begins where it leaves its baseline

    @property
    def blocks(self) -> int:
        """Number of (site, layer) blocks: the unit of checksums and of lazy reading."""
        return self.shape[0] if self.dims[0] in BLOCK_DIMS else 1

    @property
    def form(self) -> tuple[object, ...]:
        """What all units of a run have in common: everything but the number of tokens."""
        sizes = [
            (dim, size) for dim, size in zip(self.dims, self.shape, strict=True) if dim != "token"
        ]
        return self.dims, self.dtype, tuple(sizes)

    @cached_property
    def block_shape(self) -> tuple[int, ...]:
        """Shape of one block, ``token`` first."""
        return self.shape[1:] if self.dims[0] in BLOCK_DIMS else self.shape

    @cached_property
    def row_bytes(self) -> int:
        """Bytes of one token in one block."""
        return math.prod(self.block_shape[1:]) * np.dtype(NUMPY_VIEW[self.dtype]).itemsize

    @property
    def block_bytes(self) -> int:
        """Bytes of one block."""
        return self.block_shape[0] * self.row_bytes

    @property
    def nbytes(self) -> int:
        """Bytes of the site in this shard."""
        return self.blocks * self.block_bytes


@dataclass(frozen=True)
class StoredSite:
    """A site of a unit in a committed shard: where it lies and the XXH3-64 of each of its blocks."""

    layout: SiteLayout
    offset: int
    checksums: tuple[str, ...]
    stride: int = 0  # bytes from the start of a block to that of the next; 0: one follows the other

    def place(self, block: int) -> int:
        """Return the file offset of a block."""
        return self.offset + block * (self.stride or self.layout.block_bytes)


@dataclass(frozen=True)
class SharedSite:
    """The first blocks of a site of a variant: those of the same unit of its baseline, whatever file they lie in.

    By content, not by file: a baseline may be packed, or damaged and extracted again, as long as the numbers are the same.
    """

    run: str
    checksums: tuple[str, ...]


@dataclass(frozen=True)
class StoredLabel:
    """A structural label (token id, text, …) in a committed shard."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str  # NumPy's little-endian name
    offset: int
    checksum: str = ""  # XXH3-64 of the unit's rows; over several units they stand apart

    @property
    def nbytes(self) -> int:
        """Bytes of its rows, in Python's integers, which do not overflow."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Unit:
    """Sentences ``first`` … ``first + sentences − 1`` of the run, ``tokens`` tokens in all."""

    number: int
    first: int
    sentences: int
    tokens: int


@dataclass(frozen=True)
class Commit:
    """The record that makes one shard part of a run."""

    run: str
    unit: Unit
    file: str
    size: int
    sites: Mapping[str, StoredSite]
    labels: Mapping[str, StoredLabel]
    rest: str  # XXH3-64 of all bytes of the HDF5 part outside sites and labels: HDF5's records
    provenance: Json
    edits: list[Json] = field(default_factory=list)  # the proof of each edit
    upstream: Json = field(
        default_factory=dict
    )  # how what comes before the first edit was compared with the baseline
    shared: Mapping[str, SharedSite] = field(default_factory=dict)
    bulk: tuple[
        tuple[int, int], ...
    ] = ()  # in a file of several units, the spans that ``rest`` leaves out
    hdf5: int = (
        0  # bytes of the HDF5 part, behind which the file has a copy of its record; 0: it has none
    )

    @property
    def holds(self) -> frozenset[str]:
        """Sites this commit makes part of the run, its own and those shared to the last block."""
        return frozenset(self.sites) | frozenset(self.shared)

    @property
    def sharing(self) -> frozenset[str]:
        """Sites of which it has blocks of the baseline."""
        return frozenset(self.shared)

    def to_json(self) -> Json:
        """Return the JSON form, checksum left out. What only variants or packed units have, only they say."""
        record = {"format": FORMAT_COMMIT, "version": FORMAT_VERSION, **asdict(self)}
        for site in record["sites"].values():
            _drop_empty(site, "stride")
            _drop_empty(site["layout"], "first")
        _drop_empty(record, "upstream", "shared", "bulk")
        return record

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Start and end of the sites and labels of all units of the file, and its own record: all that is not HDF5's."""
        tail = ((self.hdf5, self.size),) if self.hdf5 else ()
        return self.bulk or (*data_spans(self.sites, self.labels), *tail)

    @classmethod
    def from_json(cls, record: Json) -> Commit:
        """Build from ``to_json``'s form; raises KeyError or TypeError where fields are missing or wrong."""
        fields = {key: value for key, value in record.items() if key not in ("format", "version")}
        sites = {
            name: StoredSite(
                _layout(site["layout"]),
                int(site["offset"]),
                tuple(site["checksums"]),
                int(site.get("stride", 0)),
            )
            for name, site in fields.pop("sites").items()
        }
        labels = {name: _label(label) for name, label in fields.pop("labels").items()}
        shared = {
            name: SharedSite(site["run"], tuple(site["checksums"]))
            for name, site in fields.pop("shared", {}).items()
        }
        bulk = tuple((int(start), int(end)) for start, end in fields.pop("bulk", ()))
        return cls(
            unit=Unit(**fields.pop("unit")),
            sites=sites,
            labels=labels,
            shared=shared,
            bulk=bulk,
            **fields,
        )


def data_spans(
    sites: Mapping[str, StoredSite], labels: Mapping[str, StoredLabel]
) -> tuple[tuple[int, int], ...]:
    """Return start and end of the sites and labels of a whole file, in order."""
    spans = [(site.offset, site.offset + site.layout.nbytes) for site in sites.values()]
    return tuple(
        sorted(
            [*spans, *((label.offset, label.offset + label.nbytes) for label in labels.values())]
        )
    )


def _label(record: Json) -> StoredLabel:
    fields = {
        "dims": tuple(record["dims"]),
        "shape": tuple(record["shape"]),
        "offset": int(record["offset"]),
    }
    return StoredLabel(**{**record, **fields})


def _drop_empty(record: Json, *names: str) -> None:
    for name in names:
        if not record[name]:
            del record[name]


def _layout(record: Json) -> SiteLayout:
    return SiteLayout(**{**record, "dims": tuple(record["dims"]), "shape": tuple(record["shape"])})


def canonical(record: Json) -> bytes:
    """Return the one byte form of a JSON value: sorted keys, no spaces, ASCII, no NaN."""
    return json.dumps(
        record, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()


def identity(specification: Json) -> str:
    """Return the run id: the first 16 hex digits of the SHA-256 of the canonical specification."""
    return hashlib.sha256(canonical(specification)).hexdigest()[:16]


def checksum(content: bytes) -> str:
    """Return the XXH3-64 of ``content`` in hex."""
    return str(xxhash.xxh3_64_hexdigest(content))


def seal(record: Json) -> bytes:
    """Return the bytes of a JSON file: ``record`` and its checksum."""
    return canonical({**record, "checksum": checksum(canonical(record))}) + b"\n"


def unseal(content: bytes, name: str, kind: str) -> Json:
    """Return the record of a sealed file of format ``kind``; raises DamagedStore, with the file's ``name``, if altered.

    One that is whole and of a later version raises LaterRecord.
    """
    try:
        record = json.loads(content)
        found = record.pop("checksum")
        wanted = checksum(canonical(record))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedStore(f"{name} is not a readable record ({error}): {REMEDY}") from error
    if record.get("format") != kind:
        raise DamagedStore(f"{name} has format {quoted(record.get('format'))}, wanted {kind!r}")
    if record.get("version") != FORMAT_VERSION:
        version, kind_of_error = (
            record.get("version"),
            LaterRecord if found == wanted else DamagedStore,
        )
        raise kind_of_error(
            f"{name} has version {quoted(version)}; this actlas reads {FORMAT_VERSION}: update actlas"
        )
    if found != wanted:
        raise DamagedStore(f"{name} was altered (checksum differs): {REMEDY}")
    return dict(record)

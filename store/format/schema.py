"""The records of store format version 1.

What a shard holds, and the JSON of specifications, runs and commits.

A record knows its JSON form; every JSON file carries a checksum of the rest of itself.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import xxhash

from actlas.store.errors import DamagedStore, LaterRecord, quoted
from actlas.store.format.parts import WHOLE, SitePart

FORMAT = "actlas-store"
FORMAT_VERSION = 1

#: dims along which a site is cut into blocks; a site with neither is one block
BLOCK_DIMS = ("layer", "depth")

StoredDtype = Literal["float32", "float16", "bfloat16"]
#: how the bytes of each stored dtype are seen by NumPy, which has no bfloat16
NUMPY_VIEW: Mapping[str, str] = {"float32": "<f4", "float16": "<f2", "bfloat16": "<u2"}

Json = dict[str, Any]
SUFFIX = ".json"
RUN_ID = re.compile(r"[0-9a-f]{16}")
EXPORT_SUFFIXES = (".h5", ".nc")  # by which the path of an export differs from the name of a run
REMEDY = "restore it from a copy, or remove it and extract again"


@dataclass(frozen=True)
class SiteLayout:
    """One site as a shard holds it."""

    site: str
    dims: tuple[str, ...]  # ("layer", "token", "head", "d_head")
    shape: tuple[int, ...]
    dtype: StoredDtype
    description: str
    #: layer or depth of each block, ascending; from 0 on where not given, 0 without such a dim
    numbers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Number the blocks where that is not done."""
        if not self.numbers:
            count = self.shape[0] if self.dims[0] in BLOCK_DIMS else 1
            object.__setattr__(self, "numbers", tuple(range(count)))

    @property
    def blocks(self) -> int:
        """Number of (site, layer) blocks: the unit of checksums and of lazy reading."""
        return len(self.numbers)

    @property
    def part(self) -> SitePart:
        """The site at its layers or depths."""
        return SitePart(self.site, self.numbers)

    @cached_property
    def places(self) -> dict[int, int]:
        """Layer or depth → which of the blocks it is."""
        return {number: block for block, number in enumerate(self.numbers)}

    @property
    def form(self) -> tuple[object, ...]:
        """What all shards of a run have in common: everything but tokens, layers and depths."""
        sizes = []
        for dim, size in zip(self.dims, self.shape, strict=True):
            if dim != "token" and dim not in BLOCK_DIMS:
                sizes.append((dim, size))
        return self.dims, self.dtype, tuple(sizes)

    @cached_property
    def block_shape(self) -> tuple[int, ...]:
        """Shape of one block, ``token`` first."""
        return self.shape[1:] if self.dims[0] in BLOCK_DIMS else self.shape

    @cached_property
    def row_bytes(self) -> int:
        """Bytes of one token in one block."""
        import numpy as np  # here: messages and completions need this file without it

        return math.prod(self.block_shape[1:]) * np.dtype(NUMPY_VIEW[self.dtype]).itemsize

    @property
    def block_bytes(self) -> int:
        """Bytes of one block."""
        return self.block_shape[0] * self.row_bytes

    @property
    def nbytes(self) -> int:
        """Bytes of the site in this shard."""
        return self.blocks * self.block_bytes

    @property
    def token_axis(self) -> int:
        """Number of the axis ``token``: behind layer or depth, else the first."""
        return int(self.dims[0] in BLOCK_DIMS)

    def narrow(self, tokens: int) -> SiteLayout:
        """Return the layout with another number of tokens."""
        axis = self.token_axis
        return replace(self, shape=(*self.shape[:axis], tokens, *self.shape[axis + 1 :]))

    def take(self, numbers: Iterable[int]) -> SiteLayout:
        """Return the layout of some layers or depths; as it is where the site has neither."""
        if self.dims[0] not in BLOCK_DIMS:
            return self
        numbers = tuple(numbers)
        return replace(self, shape=(len(numbers), *self.shape[1:]), numbers=numbers)


@dataclass(frozen=True)
class StoredSite:
    """A site of a unit in a committed shard.

    It says where that lies and has the XXH3-64 of each of its blocks.
    """

    layout: SiteLayout
    offset: int
    checksums: tuple[str, ...]
    stride: int = 0  # bytes from the start of a block to that of the next; 0: one follows the other

    def place(self, block: int) -> int:
        """Return the file offset of a block."""
        return self.offset + block * (self.stride or self.layout.block_bytes)


@dataclass(frozen=True)
class SharedSite:
    """Blocks of a site of a variant that come before its first edit.

    Those of the same unit of its baseline, whatever files they lie in.

    By content, not by file: a baseline may be packed, or damaged and extracted again, as long as
    the numbers are the same.
    """

    run: str
    numbers: tuple[int, ...]  # layers or depths, ascending
    checksums: tuple[str, ...]  # of each


def shared_sites(given: Mapping[str, Json]) -> dict[str, SharedSite]:
    """Return site → what is shared of it, of the JSON form."""
    found = {}
    for site, at in given.items():
        found[site] = SharedSite(at["run"], tuple(at["numbers"]), tuple(at["checksums"]))
    return found


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
        import numpy as np

        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def rows(self, start: int, count: int) -> StoredLabel:
        """Return the label of ``count`` tokens or sentences from the ``start``-th on."""
        import numpy as np

        row_bytes = math.prod(self.shape[1:]) * np.dtype(self.dtype).itemsize
        shape = (count, *self.shape[1:])
        return replace(self, shape=shape, offset=self.offset + start * row_bytes, checksum="")


@dataclass(frozen=True)
class Unit:
    """Sentences ``first`` … ``first + sentences − 1`` of the run, ``tokens`` tokens in all."""

    number: int
    first: int
    sentences: int
    tokens: int

    def to_list(self) -> list[int]:
        """Return the four numbers, as records keep them."""
        return [self.number, self.first, self.sentences, self.tokens]


def data_spans_of(
    sites: Mapping[str, StoredSite], labels: Mapping[str, StoredLabel]
) -> tuple[tuple[int, int], ...]:
    """Return start and end of the sites and labels of a whole file, in order."""
    spans = [(site.offset, site.offset + site.layout.nbytes) for site in sites.values()]
    return tuple(
        sorted(
            [*spans, *((label.offset, label.offset + label.nbytes) for label in labels.values())]
        )
    )


def stem(unit: int, parts: Iterable[SitePart]) -> str:
    """Return the name of the record of ``parts`` of a unit: equal work has equal names."""
    parts = tuple(parts)
    work: Json = {"sites": {part.site: list(part.numbers) for part in parts}}
    kept = sorted({part.kept for part in parts} - {WHOLE})
    digest = hashlib.sha256(canonical({**work, "kept": kept} if kept else work)).hexdigest()[:8]
    return f"{unit:08d}-{digest}"


def as_tuple(value: Any) -> Any:
    """Return a list of JSON as a tuple, anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


def canonical(record: Json) -> bytes:
    """Return the one byte form of a JSON value: sorted keys, no spaces, ASCII, no NaN."""
    return json.dumps(
        record, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()


def identity(specification: Json) -> str:
    """Return the run id: the first 16 hex digits of the SHA-256 of the canonical specification."""
    import hashlib  # OpenSSL, which the overview of commands has no use for

    return hashlib.sha256(canonical(specification)).hexdigest()[:16]


def checksum(content: bytes) -> str:
    """Return the XXH3-64 of ``content`` in hex."""
    return str(xxhash.xxh3_64_hexdigest(content))


def seal(record: Json) -> bytes:
    """Return the bytes of a JSON file: ``record`` and its checksum."""
    return canonical({**record, "checksum": checksum(canonical(record))}) + b"\n"


def unseal(content: bytes, name: str, kind: str) -> Json:
    """Return the record of a sealed file of format ``kind``.

    Raises DamagedStore, with the file's ``name``, if altered.

    One that is whole and of a later version raises LaterRecord.
    """
    try:
        record = json.loads(content)
        found = record.pop("checksum")
        wanted = checksum(canonical(record))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedStore(f"{name} is not a readable record ({error}): {REMEDY}") from error
    if record.get("format") != kind:
        raise DamagedStore(f"{name} has format {quoted(record.get('format'))}, expected {kind!r}")
    if record.get("version") != FORMAT_VERSION:
        version, kind_of_error = (
            record.get("version"),
            LaterRecord if found == wanted else DamagedStore,
        )
        raise kind_of_error(
            f"{name} has version {quoted(version)}; this actlas reads {FORMAT_VERSION}: update "
            "actlas"
        )
    if found != wanted:
        raise DamagedStore(f"{name} was altered (checksum differs): {REMEDY}")
    return dict(record)

"""What records of a run may say: forms and bounds, checked before anything is read by them.

A checksum shows an accident, not a hand that seals what it altered. So offsets stay within the
file, spans do not overlap, shapes agree with the units, and names are names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from actlas.store.errors import DamagedStore
from actlas.store.format.commit_record import DIGITS, FORMAT_COMMIT, CommitRecord
from actlas.store.format.pools import POOLED
from actlas.store.format.schema import (
    BLOCK_DIMS,
    NUMPY_VIEW,
    SharedSite,
    StoredLabel,
    Unit,
    unseal,
)
from actlas.store.labels.labels import KEPT, TEXT_DIM, TOKEN_LABELS

FILE = re.compile(r"[A-Za-z0-9-]+\.h5")  # a shard's name, never a path
SITE = re.compile(r"[a-z][a-z0-9_]{0,63}")
DIM = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
DIGEST = re.compile(r"[0-9a-f]{16}")
DIGESTS = re.compile(r"[0-9a-f]*")
LARGEST = 1 << 62
MOST_VALUES = 1 << 60  # of a site: counts of bytes stay within 64 bits
MOST_DIMS = 8
#: what a record of another form may raise while it is read
WRONG_FORM = (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError)

Span = tuple[int, int]  # first byte, byte after the last


def parse_commit(content: bytes, path: Path) -> CommitRecord:
    """Return the commit record whose sealed bytes stand in the file ``path``.

    Raises DamagedStore naming it.
    """
    record = unseal(content, str(path), FORMAT_COMMIT)
    try:
        commit = CommitRecord.from_json(record, path.name)
        if not FILE.fullmatch(str(commit.file)):
            raise DamagedStore(f"{path} names a file outside its run: {str(commit.file)[:100]!r}")
        check_record(commit)
    except WRONG_FORM as error:
        raise DamagedStore(
            f"{path} lacks a field or has a wrong one ({str(error)[:200]}): remove it and "
            "extract again"
        ) from error
    return commit


def check_record(record: CommitRecord) -> None:
    """Raise ValueError, saying what is wrong, unless a record can mislead no reader.

    Units are rows of the whole, one after the other: if the whole lies within the file, all of them
    do.
    """
    count = len(record.units)
    for unit in record.units:
        check_unit(unit)
    dropped = all(is_whole(index) and index < count for index in record.dropped)
    expect(count > 0 and dropped, "units")
    sizes = is_whole(record.size) and is_whole(record.hdf5) and 0 < record.hdf5 < record.size
    expect(sizes, f"size {record.size!r} with hdf5 {record.hdf5!r}")
    expect(_is_digest(record.run) and _is_digest(record.metadata_checksum), "run or checksum")
    _check_pools(record, count)
    _check_kept(record)
    spans = sorted([*_site_spans(record), *_label_spans(record)])
    inside = all(0 <= start <= end <= record.hdf5 for start, end in spans)
    expect(inside, f"a site or label outside the {record.hdf5} bytes of the HDF5 part")
    expect(all(one[1] <= other[0] for one, other in pairwise(spans)), "variables that overlap")
    for shared in record.pools["shared"]:
        _check_shared(record, shared)


def _check_pools(record: CommitRecord, count: int) -> None:
    expect(set(record.pools) == set(record.members) == set(POOLED), "what units have in common")
    kinds = {"provenance": dict, "edits": list, "upstream": dict, "shared": dict}
    for name, kind in kinds.items():
        pool, members = record.pools[name], record.members[name]
        expect(isinstance(pool, list) and all(isinstance(each, kind) for each in pool), name)
        known = all(is_whole(member) and member < len(pool) for member in members)
        expect(len(members) == count and known, f"members of {name}")


def _check_kept(record: CommitRecord) -> None:
    if record.kept is None:
        return
    kept = record.kept
    expect(_is_digest(kept.digest) and bool(kept.tokens), "tokens that are kept")
    expect(all(isinstance(text, str) for text in kept.tokens), "tokens that are kept")
    expect(len(kept.rows) == len(record.units), "rows that are kept")
    for unit, rows in zip(record.units, kept.rows, strict=True):
        expect(is_whole(rows) and rows <= unit.tokens, f"{rows!r} rows of {unit.tokens} tokens")


def _check_shared(record: CommitRecord, shared: Mapping[str, SharedSite]) -> None:
    """Check what a variant shares with its baseline: its own blocks follow."""
    for name, blocks in shared.items():
        named = bool(SITE.fullmatch(name)) and _is_digest(blocks.run) and bool(blocks.checksums)
        expect(named and all(map(_is_digest, blocks.checksums)), f"shared {name!r}")
        _check_numbers(name, blocks.numbers, len(blocks.checksums))
        own = record.sites[name].layout.numbers if name in record.sites else ()
        follows = not own or blocks.numbers[-1] < own[0]
        expect(
            follows, f"{name} from {own[0] if own else 0} on, behind {blocks.numbers[-1]} shared,"
        )


def _site_spans(record: CommitRecord) -> Iterator[Span]:
    rows = record.first_rows[-1]
    sizes: dict[str, int] = {}
    numbered: dict[str, tuple[int, ...]] = {}
    expect(record.checksums.keys() == record.sites.keys(), "checksums")
    for name, site in record.sites.items():
        layout = site.layout
        expect(bool(SITE.fullmatch(name)) and layout.site == name, f"site {name!r}")
        expect(layout.dtype in NUMPY_VIEW, f"dtype of {name}")
        _check_shape(name, layout.dims, layout.shape, empty=not rows)
        expect(
            layout.dims[layout.token_axis : layout.token_axis + 1] == ("token",), f"dims of {name}"
        )
        expect(len(set(layout.dims)) == len(layout.dims), f"dims of {name}")
        expect(layout.shape[layout.token_axis] == rows, f"{name} without {rows} tokens")
        expect(isinstance(layout.description, str), f"description of {name}")
        for dim, size in zip(layout.dims, layout.shape, strict=True):
            expect(sizes.setdefault(dim, size) == size, f"{dim} of {size} and {sizes[dim]}")
        first = layout.dims[0]
        _check_numbers(name, layout.numbers, layout.shape[0] if first in BLOCK_DIMS else 1)
        # a file has one variable ``layer``: its sites have the same layers
        same = numbered.setdefault(first, layout.numbers) == layout.numbers
        expect(same or first not in BLOCK_DIMS, f"numbers of {first}")
        _check_digests(name, record.checksums[name], layout.blocks * len(record.units))
        expect(is_whole(site.offset), f"offset of {name}")
        yield site.offset, site.offset + layout.nbytes
    taken = {"sentence", *record.labels, *sizes} & record.sites.keys()
    expect(not taken, f"a site with the name of a dim or label, {sorted(taken)[:1]},")


def _label_spans(record: CommitRecord) -> Iterator[Span]:
    known = {*TOKEN_LABELS, "row_size", "text", *((KEPT,) if record.kept else ())}
    unknown = known ^ record.labels.keys()
    expect(not unknown, f"labels with or without {', '.join(sorted(map(repr, unknown)))}")
    expect(record.label_checksums.keys() == record.labels.keys(), "checksums of labels")
    for name, label in record.labels.items():
        _check_label(name, label, record)
        _check_digests(name, record.label_checksums[name], len(record.units))
        yield label.offset, label.offset + label.nbytes


def _check_label(name: str, label: StoredLabel, record: CommitRecord) -> None:
    _check_shape(name, label.dims, label.shape)
    of_tokens = name in TOKEN_LABELS or name == KEPT
    dims = ("token" if of_tokens else "sentence", *((TEXT_DIM,) if name == "text" else ()))
    rows = record.first_tokens[-1] if of_tokens else record.first_sentences[-1]
    expect(label.dims == dims and label.shape[0] == rows, f"shape of {name!r}")
    expect(label.dtype == ("|S1" if name == "text" else "<i4"), f"dtype of {name!r}")
    expect(label.checksum == "" and is_whole(label.offset), f"label {name!r}")


def _check_shape(
    name: str, dims: Sequence[Any], shape: Sequence[Any], *, empty: bool = False
) -> None:
    """Check dims and sizes; empty: there are no rows, which is 0 and no other size."""
    if empty:
        shape = [1 if dim == "token" else size for dim, size in zip(dims, shape, strict=False)]
    named = all(isinstance(dim, str) and DIM.fullmatch(dim) for dim in dims)
    sized = 0 < len(dims) == len(shape) <= MOST_DIMS and all(map(is_whole, shape))
    expect(named and sized and 0 < math.prod(shape) < MOST_VALUES, f"shape of {name!r}")


def _check_numbers(name: str, numbers: Sequence[Any], count: int) -> None:
    whole = all(map(is_whole, numbers)) and list(numbers) == sorted(set(numbers))
    expect(whole and len(numbers) == count, f"layers or depths of {name!r}")


def _check_digests(name: str, text: Any, count: int) -> None:
    expect(isinstance(text, str) and bool(DIGESTS.fullmatch(text)), f"checksums of {name}")
    expect(len(text) == DIGITS * count, f"{len(text) // DIGITS} checksums of {name}, not {count},")


def check_units(units: Sequence[Unit]) -> None:
    """Raise ValueError unless ``units`` follow one another from the first sentence on."""
    first = 0
    for number, unit in enumerate(units):
        check_unit(unit)
        expect((unit.number, unit.first) == (number, first), f"unit {number} out of its place")
        first += unit.sentences


def check_unit(unit: Unit) -> None:
    """Raise ValueError unless all of a unit's numbers are numbers, and it has tokens."""
    numbers = unit.to_list()
    expect(all(map(is_whole, numbers)) and 0 < unit.sentences <= unit.tokens, f"unit {numbers}")


def is_whole(number: object) -> bool:
    """Whether something is a count, or an offset in a file."""
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < LARGEST


def expect(valid: bool, what: str) -> None:
    """Raise ValueError, naming ``what``, unless it is valid."""
    if not valid:
        raise ValueError(f"{what[:150]} cannot be")


def _is_digest(text: object) -> bool:
    return isinstance(text, str) and bool(DIGEST.fullmatch(text))

"""The record of an export: a sealed JSON line behind the HDF5 part of the file, with its length in the last bytes.

It says all that reading takes. What an unknown file says is held against the file's size and against itself before it is used.
"""

from __future__ import annotations

import math
import os
import re
import stat
from itertools import accumulate
from pathlib import Path
from typing import Any, NoReturn

from actlas.store.errors import DamagedStore, UsageError
from actlas.store.format.schema import (
    BLOCK_DIMS,
    NUMPY_VIEW,
    Json,
    SiteLayout,
    StoredLabel,
    StoredSite,
    Unit,
    identity,
    unseal,
)
from actlas.store.format.tail import read_tail
from actlas.store.io.durable import naming
from actlas.store.labels.columns import column_spans, stored_columns
from actlas.store.labels.labels import TEXT_DIM, TOKEN_LABELS
from actlas.store.writing.several import Several
from actlas.store.writing.shard import ShardRecord

FORMAT_EXPORT = "actlas-export"
HDF5 = b"\x89HDF\r\n\x1a\n"
MOST_RECORD = (
    1 << 25
)  # bytes: some thousand units of many sites; a limit on what an unknown file makes us hold
MOST_VALUES = 1 << 60  # of one site: counts of bytes stay within 64 bits
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
DIGEST = re.compile(r"[0-9a-f]{16}")


def read_record(path: Path) -> tuple[Json, int]:
    """Return the record of an export and the file's size; raises UsageError, DamagedStore."""
    try:
        descriptor = os.open(
            path, os.O_RDONLY | os.O_NONBLOCK
        )  # a pipe in its place must not hang us
    except FileNotFoundError as error:
        raise UsageError(
            f"{path} is not there: give a file that `actlas export` made, or the name of a run"
        ) from error
    try:
        with naming(path):
            return _read(path, descriptor)
    except RecursionError as error:
        raise DamagedStore(f"{path} has a record nested beyond reading: export it again") from error
    finally:
        os.close(descriptor)


def _read(path: Path, descriptor: int) -> tuple[Json, int]:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or os.pread(descriptor, len(HDF5), 0) != HDF5:
        raise UsageError(
            f"{path} is no HDF5 file: give one that `actlas export` made, or the name of a run"
        )
    tail = read_tail(descriptor, found.st_size, MOST_RECORD)
    if tail is None or tail.kind != FORMAT_EXPORT or tail.start < len(HDF5):
        raise DamagedStore(
            f"{path} does not end as an export does: it was cut short, or made by something else"
        )
    record = unseal(tail.sealed, str(path), FORMAT_EXPORT)
    if record.get("size") != tail.start:
        raise DamagedStore(
            f"{path} has {tail.start} bytes before its record, wanted {record.get('size')}: export it again"
        )
    return record, found.st_size


def places(record: Json) -> tuple[tuple[Unit, ...], dict[str, list[int]], Several]:
    """Return units, numbers of blocks and places of a record; raises ValueError for what is not consistent in itself.

    Raises LookupError, TypeError, AttributeError too, for what is of another form.
    """
    if identity(record["specification"]) != record["run"] or not isinstance(
        record["description"], dict
    ):
        _refuse("it is of another run")
    units = tuple(Unit(*(_natural(part) for part in unit)) for unit in record["units"])
    firsts = list(accumulate((unit.sentences for unit in units), initial=0))
    if not units or any(
        (unit.number, unit.first) != (i, firsts[i]) or not unit.tokens
        for i, unit in enumerate(units)
    ):
        _refuse("its units do not follow each other")
    tokens = sum(unit.tokens for unit in units)
    sites = {
        name: _site(name, site, tokens, record["blocks"], units)
        for name, site in record["sites"].items()
    }
    found = {name: _label(name, label, units) for name, label in record["labels"].items()}
    labels = {name: label for name, (label, _) in found.items()}
    columns = stored_columns(record["columns"], firsts[-1], record["size"])
    if type(record["labels_version"]) is not int or not DIGEST.fullmatch(record["labels_digest"]):
        _refuse("its version of labels is none")
    sizes = [
        pair
        for site, _ in sites.values()
        for pair in zip(site.layout.dims, site.layout.shape, strict=True)
    ]
    if not sites or len(set(sizes)) != len({dim for dim, _ in sizes}):
        _refuse("its sites differ in their dims")
    if set(sites) & ({dim for dim, _ in sizes} | set(labels) | {"sentence"} | set(columns)):
        _refuse("a site has the name of something else")
    if {*TOKEN_LABELS, "row_size", "text"} != set(labels):
        _refuse("labels are missing or unknown")
    spans = [(site.offset, site.offset + site.layout.nbytes) for site, _ in sites.values()]
    spans += [(label.offset, label.offset + label.nbytes) for label in labels.values()]
    spans += column_spans(columns, firsts[-1])
    edges = [edge for span in sorted(spans) for edge in span]
    if edges != sorted(edges) or edges[0] < len(HDF5) or edges[-1] > record["size"]:
        _refuse("its variables overlap or lie outside the file")
    if not DIGEST.fullmatch(record["rest"]):
        _refuse("a checksum is none")
    whole = ShardRecord(
        record["size"],
        {name: site for name, (site, _) in sites.items()},
        labels,
        record["rest"],
        columns,
    )
    checksums = tuple(
        {name: per_unit[i] for name, (_, per_unit) in sites.items()} for i in range(len(units))
    )
    blocks = {dim: list(numbers) for dim, numbers in record["blocks"].items()}
    return (
        units,
        blocks,
        Several(units, whole, checksums, {name: each for name, (_, each) in found.items()}),
    )


def _site(
    name: str, record: Json, tokens: int, blocks: Json, units: tuple[Unit, ...]
) -> tuple[StoredSite, list[tuple[str, ...]]]:
    """Return a site over all units, and the checksums of each unit's blocks."""
    given = record["layout"]
    layout = SiteLayout(
        **{
            **given,
            "dims": tuple(given["dims"]),
            "shape": tuple(_natural(part) for part in given["shape"]),
        }
    )
    axis = 1 if layout.dims[0] in BLOCK_DIMS else 0
    named = all(NAME.fullmatch(dim) for dim in (name, *layout.dims)) and len(
        set(layout.dims)
    ) == len(layout.dims)
    if (
        not named
        or layout.site != name
        or layout.dims[axis] != "token"
        or layout.dtype not in NUMPY_VIEW
    ):
        _refuse(f"site {name[:99]!r} is laid out as none is")
    if (
        len(layout.dims) != len(layout.shape)
        or layout.shape[axis] != tokens
        or not 0 < math.prod(layout.shape) < MOST_VALUES
    ):
        _refuse(f"site {name!r} has an impossible shape")
    if axis:
        numbers = [_natural(number) for number in blocks[layout.dims[0]]]
        if numbers != sorted(set(numbers)) or len(numbers) != layout.blocks:
            _refuse(f"the numbers of {layout.dims[0]} are none")
    checksums = [tuple(per_unit) for per_unit in record["checksums"]]
    if [len(per_unit) for per_unit in checksums] != [layout.blocks] * len(units):
        _refuse(f"site {name!r} lacks checksums")
    if not all(DIGEST.fullmatch(checksum) for per_unit in checksums for checksum in per_unit):
        _refuse("a checksum is none")
    return StoredSite(layout, _natural(record["offset"]), ()), checksums


def _label(name: str, record: Json, units: tuple[Unit, ...]) -> tuple[StoredLabel, tuple[str, ...]]:
    """Return a label over all units, and the checksum of each unit's rows."""
    tokens, sentences = sum(unit.tokens for unit in units), sum(unit.sentences for unit in units)
    label = StoredLabel(
        tuple(record["dims"]), tuple(record["shape"]), record["dtype"], _natural(record["offset"])
    )
    if name in TOKEN_LABELS:
        wanted = label.dims == ("token",) and label.shape == (tokens,) and label.dtype == "<i4"
    elif name == "row_size":
        wanted = (
            label.dims == ("sentence",) and label.shape == (sentences,) and label.dtype == "<i4"
        )
    else:
        wanted = (
            label.dims == ("sentence", TEXT_DIM)
            and len(label.shape) == 2
            and label.shape[0] == sentences
        )
        wanted = wanted and label.dtype == "|S1"
    if not wanted or not all(_natural(part) for part in label.shape):
        _refuse(f"label {name[:99]!r} is laid out as none is")
    checksums = tuple(record["checksums"])
    if len(checksums) != len(units) or not all(
        DIGEST.fullmatch(checksum) for checksum in checksums
    ):
        _refuse(f"label {name[:99]!r} lacks checksums")
    return label, checksums


def _natural(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 62:
        _refuse(f"{str(value)[:30]!r} is no count")
    return int(value)


def _refuse(reason: str) -> NoReturn:
    raise ValueError(reason)

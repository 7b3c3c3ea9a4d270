"""The record of an export.

The commit record of its units and what else reading takes, sealed behind the HDF5 part.

What an unknown file says is held against the file's size and against itself before it is used.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from actlas.store.errors import DamagedStore, UsageError
from actlas.store.format.commit_record import FIELDS, CommitRecord
from actlas.store.format.schema import Json, data_spans_of, identity, seal, unseal
from actlas.store.format.tail import read_tail, tail_bytes
from actlas.store.format.validation import (
    DIGEST,
    WRONG_FORM,
    check_record,
    check_units,
    expect,
    is_whole,
)
from actlas.store.io.durable import naming
from actlas.store.io.safe_open import LARGEST_PACKED, Read, readable
from actlas.store.labels.columns import SENTENCE, TOKEN
from actlas.store.labels.stored_columns import StoredColumn, column_spans, stored_columns
from actlas.store.remote.path import RemotePath

FORMAT_EXPORT = "actlas-export"
HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class ExportRecord:
    """What an export says of itself."""

    header: Json  # the whole record as JSON
    commit: CommitRecord  # of all its units
    columns: dict[str, StoredColumn]


def export_tail(header: Json, commit: CommitRecord, columns: dict[str, StoredColumn]) -> bytes:
    """Return what stands behind the HDF5 part. Equal exports are equal whatever they are called."""
    record = {**commit.to_json(), **header, "format": FORMAT_EXPORT}
    del record["file"]
    record["columns"] = {name: asdict(column) for name, column in columns.items()}
    return tail_bytes(seal(record), FORMAT_EXPORT)


def read_export(path: Path) -> ExportRecord:
    """Return the record of an export.

    Raises UsageError where it is none, DamagedStore where it is not valid.
    """
    header, start, size = _read_header(path)
    try:
        if (header["hdf5"], header["size"]) != (start, size):
            found = f"{start} bytes before its record, expected {header['hdf5']}"
            raise DamagedStore(f"{path} has {found}: export it again")
        return _parsed(header, path)
    except WRONG_FORM as error:
        raise DamagedStore(
            f"{path} has a record that is not valid ({str(error)[:200]}): export it again"
        ) from error


def _read_header(path: Path) -> tuple[Json, int, int]:
    """Return the unsealed record, where it begins in the file, and the file's size."""
    give = "give a file that `actlas export` made, or the name of a run"
    try:
        with _named(path, give) as (read, size):
            tail = read_tail(read, size, LARGEST_PACKED)
        if tail is None or tail.kind != FORMAT_EXPORT or tail.start < len(HDF5):
            raise DamagedStore(
                f"{path} does not end as an export does: it was cut short, or made by something "
                "else"
            )
        return unseal(tail.sealed, str(path), FORMAT_EXPORT), tail.start, size
    except RecursionError as error:
        raise DamagedStore(f"{path} has a record nested beyond reading: export it again") from error


@contextmanager
def _named(path: Path, give: str) -> Iterator[tuple[Read, int]]:
    """Open what the user named, links followed; yield what reads it, and its size."""
    if isinstance(path, RemotePath):
        try:
            with readable(path) as (read, size):
                if read(len(HDF5), 0) != HDF5:
                    raise UsageError(f"{path} is not an HDF5 file: {give}")
                yield read, size
        except FileNotFoundError as error:
            raise UsageError(f"{path} is not there: {give}") from error
        return
    try:  # a pipe in its place must not hang us
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise UsageError(f"{path} is not there: {give}") from error
    try:
        with naming(path):
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or os.pread(descriptor, len(HDF5), 0) != HDF5:
                raise UsageError(f"{path} is not an HDF5 file: {give}")
            yield partial(os.pread, descriptor), found.st_size
    finally:
        os.close(descriptor)


def _parsed(header: Json, path: Path) -> ExportRecord:
    of_run = identity(header["specification"]) == header["run"]
    expect(of_run and isinstance(header["description"], dict), "run")
    fields = {name: header[name] for name in FIELDS if name != "file"}
    commit = CommitRecord.from_json({**fields, "file": path.name})
    check_record(commit)
    check_units(commit.units)
    expect(not commit.dropped and not commit.sharing and bool(commit.sites), "units or sites")
    counts = {SENTENCE: commit.first_sentences[-1], TOKEN: commit.first_tokens[-1]}
    columns = stored_columns(header["columns"], counts, commit.hdf5)
    expect(not commit.sites.keys() & columns.keys(), "a site with the name of a column")
    spans = sorted([*data_spans_of(commit.sites, commit.labels), *column_spans(columns, counts)])
    apart = all(one[1] <= other[0] for one, other in pairwise(spans))
    expect(apart and spans[0][0] >= len(HDF5), "variables that overlap")
    versioned = is_whole(header["labels_version"]) and DIGEST.fullmatch(header["labels_digest"])
    expect(bool(versioned), "version of labels")
    expect(isinstance(header["selection"], dict), "selection")
    return ExportRecord(header, commit, columns)

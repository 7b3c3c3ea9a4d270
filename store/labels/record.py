"""Label records: the versions of a run's label columns, in ``labels/``; the highest number counts.

A version is ``<number, 8 digits>-<digest>.h5``, a netCDF-4 file with the record sealed behind it,
and the same record as ``….json``. Neither ever changes. A run and its variants have one family of
labels, kept by the run without edits.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from actlas.store.errors import DamagedStore
from actlas.store.format.schema import FORMAT_VERSION, Json, seal, unseal
from actlas.store.format.tail import read_tail, tail_bytes
from actlas.store.io.safe_open import LARGEST_RECORD, listed, read_record, readable
from actlas.store.labels.columns import SENTENCE, TOKEN, Columns, Counts
from actlas.store.labels.stored_columns import DIGEST, StoredColumn, read_columns, stored_columns

FOLDER = "labels"
FORMAT_LABELS = "actlas-labels"
NAME = re.compile(r"([0-9]{8})-([0-9a-f]{16})\.(json|h5)")
NO_TOKENS = ("tokens", 0)  # is left out of records
REMEDY = "`actlas relabel` with the sentences' file stores them again"


@dataclass(frozen=True)
class LabelRecord:
    """One version of the label columns of a run and its variants."""

    run: str  # id, of the run without edits
    number: int  # from 1 on
    digest: str  # of names, dtypes and values
    previous: str  # digest of the version before, "" for the first
    sentences: int
    columns: Mapping[str, StoredColumn]
    size: int  # bytes of the netCDF-4 part of the file
    metadata_checksum: str  # XXH3-64 of its bytes outside the columns
    source: str  # name of the input
    created: str
    tokens: int = 0  # where a column lies on them

    @property
    def counts(self) -> Counts:
        """Sentences and tokens that the columns are of."""
        return {SENTENCE: self.sentences, TOKEN: self.tokens}

    @property
    def stem(self) -> str:
        """Name of record and file, without the endings."""
        return f"{self.number:08d}-{self.digest}"

    @property
    def stamp(self) -> str:
        """Version and digest, as results keep them."""
        return f"{self.number}:{self.digest}"

    def to_json(self) -> Json:
        """Return the JSON form, checksum left out; without ``lengths`` and ``tokens`` of 0."""
        columns = {name: asdict(column) for name, column in self.columns.items()}
        for column in columns.values():
            if not column["lengths"]:
                del column["lengths"]
        form = {"format": FORMAT_LABELS, "version": FORMAT_VERSION}
        fields = {name: value for name, value in vars(self).items() if (name, value) != NO_TOKENS}
        return {**form, **fields, "columns": columns}

    @classmethod
    def from_json(cls, record: Json) -> LabelRecord:
        """Build from ``to_json``'s form.

        Raises ValueError, KeyError, TypeError, … for a wrong one.
        """
        fields = {key: value for key, value in record.items() if key not in ("format", "version")}
        counts = {SENTENCE: fields["sentences"], TOKEN: fields.get("tokens", 0)}
        numbers = (*counts.values(), fields["size"], fields["number"])
        if any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError("a count that is none")
        digests = [
            fields["digest"],
            fields["metadata_checksum"],
            *([fields["previous"]] if fields["previous"] else []),
        ]
        texts = [fields[name] for name in ("run", "previous", "source", "created")]
        if not all(isinstance(text, str) for text in texts) or not all(
            DIGEST.fullmatch(str(each)) for each in digests
        ):
            raise ValueError("a digest or a name that is none")
        return cls(
            **{**fields, "columns": stored_columns(fields["columns"], counts, fields["size"])}
        )


@dataclass(frozen=True)
class Version:
    """One version as its files' names say."""

    folder: Path
    number: int
    digest: str

    @property
    def json(self) -> Path:
        """Path of the record."""
        return self.folder / f"{self.number:08d}-{self.digest}.json"

    @property
    def file(self) -> Path:
        """Path of the values."""
        return self.folder / f"{self.number:08d}-{self.digest}.h5"


def versions(run_folder: Path) -> list[Version]:
    """Return the versions of which record or values are there, oldest first.

    Raises DamagedStore.
    """
    names = [NAME.fullmatch(path.name) for path in listed(run_folder / FOLDER)]
    return [
        Version(run_folder / FOLDER, number, digest)
        for number, digest in sorted({(int(name[1]), name[2]) for name in names if name})
    ]


def newest_record(run_folder: Path, counts: Counts) -> LabelRecord:
    """Return the record that counts, never an older one; raises DamagedStore if altered or lost."""
    found = versions(run_folder)
    if not found:
        raise DamagedStore(f"{run_folder / FOLDER} has no label record: {REMEDY}")
    newest = found[-1]
    if len(found) > 1 and found[-2].number == newest.number:
        raise DamagedStore(
            f"{run_folder / FOLDER} has two label records of version {newest.number}: {REMEDY}"
        )
    return read_version(newest, run_folder.name, counts)


def read_version(version: Version, run: str, counts: Counts) -> LabelRecord:
    """Return the record of a version, by its copy where the JSON is missing; raises DamagedStore.

    run, counts: id, and numbers of sentences and tokens, of the run that it must be of.
    """
    try:
        content = read_record(version.json)
    except FileNotFoundError:
        content = sealed_behind(version.file)
    return parsed(content, version, run, counts)


def parsed(content: bytes, version: Version, run: str, counts: Counts) -> LabelRecord:
    """Return the record of ``content``; raises DamagedStore if altered or of something else."""
    path = version.json
    record = unseal(content, str(path), FORMAT_LABELS)
    try:
        found = LabelRecord.from_json(record)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DamagedStore(
            f"{path} lacks a field or has a wrong one ({str(error)[:200]}): {REMEDY}"
        ) from error
    if (found.number, found.digest) != (version.number, version.digest):
        raise DamagedStore(
            f"{path} was renamed: it is of version {found.number}-{found.digest}: {REMEDY}"
        )
    of_tokens = any(column.dim == TOKEN for column in found.columns.values())
    wanted = (run, counts[SENTENCE], counts[TOKEN] if of_tokens else 0)
    if (found.run, found.sentences, found.tokens) != wanted:
        found_of = f"{str(found.run)[:16]!r} with {found.sentences} sentences"
        tokens = f" and {found.tokens} tokens" if found.tokens != wanted[2] else ""
        raise DamagedStore(
            f"{path} has the labels of run {found_of}{tokens}, expected {run} with "
            f"{counts[SENTENCE]}{f' and {wanted[2]}' if tokens else ''}: {REMEDY}"
        )
    return found


def sealed_behind(path: Path) -> bytes:
    """Return the sealed record behind the values in ``path``; raises DamagedStore."""
    try:
        with readable(path) as (read, size):
            tail = read_tail(read, size, LARGEST_RECORD)
            if tail is None or tail.kind != FORMAT_LABELS:
                raise DamagedStore(
                    f"{path} does not end as the values of labels do: it was cut or altered: "
                    f"{REMEDY}"
                )
            return tail.sealed
    except FileNotFoundError as error:
        raise DamagedStore(f"{path} is missing: restore it from a copy, or {REMEDY}") from error


def tailed(record: LabelRecord) -> bytes:
    """Return what stands behind the values: the sealed record, and its length."""
    return tail_bytes(seal(record.to_json()), FORMAT_LABELS)


def read_values(run_folder: Path, record: LabelRecord, sites: Collection[str] = ()) -> Columns:
    """Read the columns of a version, each against its checksum.

    Raises DamagedStore where they are altered, or one has the name of one of ``sites``.
    """
    path = run_folder / FOLDER / f"{record.stem}.h5"
    clash = sorted(record.columns.keys() & set(sites))
    if clash:
        raise DamagedStore(
            f"{path} has a label column with the name of a site, {clash[0]!r}: {REMEDY}"
        )
    wanted = record.size + len(tailed(record))
    try:
        with readable(path) as (read, size):
            if size != wanted:
                raise DamagedStore(f"{path} has {size} bytes, its record says {wanted}: {REMEDY}")
            return read_columns(path, read, record.columns, record.counts)
    except FileNotFoundError as error:
        raise DamagedStore(f"{path} is missing: restore it from a copy, or {REMEDY}") from error

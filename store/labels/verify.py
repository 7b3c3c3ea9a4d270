"""Verification of label records: every byte of every version, and gaps between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from actlas.store.errors import DamagedStore
from actlas.store.format.digest import metadata_checksum_of
from actlas.store.format.schema import seal
from actlas.store.io.safe_open import opened, read_record
from actlas.store.labels.columns import Counts
from actlas.store.labels.record import (
    FOLDER,
    REMEDY,
    LabelRecord,
    Version,
    parsed,
    read_values,
    sealed_behind,
    versions,
)
from actlas.store.labels.stored_columns import column_spans, places_of_columns

MOST_VARIABLES = 8000  # of columns: a text has two variables and a dim


def label_problems(run_folder: Path, counts: Counts) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Yield of each version its name, 0 (bytes are not counted), and what is wrong with it."""
    try:
        found = versions(run_folder)
    except DamagedStore as error:
        yield FOLDER, 0, (str(error),)
        return
    if not found:
        yield FOLDER, 0, (f"{run_folder / FOLDER} has no label record: {REMEDY}",)
    before: Version | None = None
    for version in found:
        problems = version_problems(version, run_folder.name, counts)
        if before and version.number != before.number + 1:
            lost = f"after version {before.number} comes {version.number}"
            problems.insert(
                0,
                f"{version.folder}: {lost}: label records were removed or doubled; see `actlas "
                "verify --repair`",
            )
        before = version
        yield version.json.name, 0, tuple(problems)


def version_problems(version: Version, run: str, counts: Counts) -> list[str]:
    """Return what is wrong with one version: its record, the copy of it, or the values."""
    try:
        record = parsed(sealed_behind(version.file), version, run, counts)
        # without its first copy a version counts by the one behind its values: so a relabelling
        # that was killed between the two has come to its end
        if version.json.exists() or version.json.is_symlink():
            content = read_record(version.json)
            parsed(content, version, run, counts)
            if content != seal(record.to_json()):
                return [f"{version.json} is not the record behind {version.file.name}: {REMEDY}"]
        read_values(version.folder.parent, record)
        return _file_problems(version.file, record)
    except DamagedStore as error:
        return [str(error)]
    except OSError as error:
        return [f"{error.filename or version.file} cannot be read ({error.strerror})"]


def _file_problems(path: Path, record: LabelRecord) -> list[str]:
    from actlas.store.format.hdf5_check import plain_problems  # HDF5 is imported where it is asked

    remedy = "`actlas verify --repair` writes the labels again"
    with opened(path) as (descriptor, _):
        if (
            metadata_checksum_of(
                descriptor, record.size, column_spans(record.columns, record.counts)
            )
            != record.metadata_checksum
        ):
            return [f"{path}: HDF5 records were altered: {remedy}"]
    found = plain_problems(path, places_of_columns(record.columns), MOST_VARIABLES)
    return [f"{path}: to HDF5, {what}: {remedy}" for what in found]

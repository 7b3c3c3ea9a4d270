"""Verification of an export.

Every byte against its checksums, and its HDF5 part for what would lead readers elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from actlas.store.errors import DamagedStore
from actlas.store.format.digest import metadata_checksum_of
from actlas.store.format.hdf5_check import plain_problems
from actlas.store.io.safe_open import opened
from actlas.store.labels.stored_columns import column_spans, places_of_columns
from actlas.store.maintenance.checks import Checked, Files, check_unit
from actlas.store.reading.stored_labels import opened_shard
from actlas.store.runs.exported import Exported

WARNING = "do not open it by other means"
MOST_VARIABLES = 10_000  # in an HDF5 part that is looked through


def verify_export(exported: Exported) -> Iterator[Checked]:
    """Check what belongs to all of an export, then unit by unit its numbers and labels."""
    path, commit = exported.file, exported.records[0]
    columns = exported.export_record.columns
    places = {name: site.offset for name, site in commit.sites.items()}
    places |= places_of_columns(columns)
    problems = []
    for what in plain_problems(path, places, MOST_VARIABLES):
        problems.append(f"{path}: {what}: {WARNING}")
    spans = [*commit.data_spans, *column_spans(columns, exported.counts)]
    nbytes = 0
    try:
        with opened_shard(path, commit.size), opened(path) as (descriptor, _):
            nbytes = commit.size - sum(end - start for start, end in spans)
            if metadata_checksum_of(descriptor, commit.size, spans) != commit.metadata_checksum:
                problems.append(f"{path}: HDF5 records were altered: export it again")
        _ = exported.own_labels
    except DamagedStore as error:
        problems.append(f"{error}: export it again")
    yield Checked(path.name, nbytes, tuple(problems), "file")
    files: Files = {path.name: None}  # its HDF5 part was looked at above
    for location in commit.locations:
        nbytes, damages = check_unit(location, path, "export it again", files)
        yield Checked(f"{path.name} unit {location.member}", nbytes, tuple(damages))

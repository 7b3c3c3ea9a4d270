"""An exported file in place of a run: a ``Run`` whose units all lie in that file.

The file is read by its record alone, never through HDF5: links, external storage or virtual datasets in it lead nowhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from actlas.store.errors import DamagedStore, UsageError, unknown
from actlas.store.format.digest import rest_checksum
from actlas.store.format.export_record import places, read_record
from actlas.store.format.schema import Commit, Json, checksum
from actlas.store.io.safe_open import placed
from actlas.store.labels.columns import Columns, column_spans, places_of_columns, read_columns
from actlas.store.labels.labels import SENTENCE_IN_RUN
from actlas.store.maintenance.verify import Checked, Rests, check_commit
from actlas.store.reading.places import opened_shard
from actlas.store.runs.run import Run, names_of

WARNING = "do not open it by other means"
MOST_VARIABLES = 10_000  # in an HDF5 part that is looked through


class Exported(Run):
    """The export at ``path``; raises UsageError where that is none, DamagedStore where its record is not sound."""

    def __init__(self, path: Path) -> None:
        self.file = path = placed(path)
        self.header, size = read_record(path)
        try:
            self.units, self.blocks, several = places(self.header)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise DamagedStore(
                f"{path} has a record that is not sound ({error}): export it again"
            ) from error
        self.folder = path.parent
        self.names = (path.name,)
        self.id: str = self.header["run"]
        self.specification = self.header["specification"]
        self.description = self.header["description"]
        self.excerpt: Json = self.header["excerpt"]
        self._columns = several.record.columns
        own = column_spans(self._columns, self.sentences)
        bulk = tuple(
            sorted([*several.bulk, *own, (several.record.size, size)])
        )  # the record has a checksum of its own
        devices = {"device": str(self.header.get("device", "?"))}
        self.holdings = self.commits = tuple(
            Commit(
                self.id,
                unit,
                path.name,
                size,
                several.sites(i),
                several.labels(i),
                several.record.rest,
                devices,
                bulk=bulk,
            )
            for i, unit in enumerate(self.units)
        )

    @cached_property
    def columns(self) -> Columns:
        """The label columns that it was exported with; raises DamagedStore."""
        with (
            opened_shard(self.file, self.holdings[0].size) as descriptor,
            os.fdopen(descriptor, "rb", closefd=False) as file,
        ):
            return read_columns(self.file, file, self._columns, self.sentences)

    @property
    def labels_version(self) -> int:
        """Version of the run's label columns that it was exported with."""
        return int(self.header["labels_version"])

    @property
    def labels_digest(self) -> str:
        """Digest of the run's label columns that it was exported with."""
        return str(self.header["labels_digest"])

    @property
    def places(self) -> dict[str, int]:
        """Variable → file offset, as HDF5 must have it."""
        own = {name: site.offset for name, site in self.commits[0].sites.items()}
        return own | places_of_columns(self._columns)

    @property
    def limits(self) -> Json:
        """The excerpt of the run that was exported."""
        return {"export": self.excerpt}

    @property
    def sentences_id(self) -> str:
        """That of the run, unless sentences were left out before others: these have other numbers here."""
        numbers = self.labels.columns.get(SENTENCE_IN_RUN)
        of_run = super().sentences_id
        if numbers is None or np.array_equal(numbers, np.arange(len(numbers))):
            return of_run
        return f"{of_run} {checksum(numbers.tobytes())}"

    def path(self, holding: object) -> Path:
        """Return the file."""
        return self.file

    def refresh(self) -> None:
        """Do nothing: an export does not change."""

    def require(self, sites: str | Iterable[str]) -> None:
        """Raise UsageError for a site that was not exported."""
        for site in names_of(sites):
            if site not in self.sites:
                raise UsageError(
                    f"{self.file} was exported without it: {unknown('site', site, self.sites)}"
                )

    def block_numbers(self, dim: str, blocks: int) -> npt.NDArray[np.int64]:
        """Return the layers, or depths, that were exported."""
        return np.array(self.blocks[dim])


def verify_export(exported: Exported) -> Iterator[Checked]:
    """Check every byte of an export against its checksums, and its HDF5 part for what would lead readers elsewhere."""
    from actlas.store.format.hdf5_check import plain_problems

    rests: Rests = {exported.file.name: None}  # HDF5's own part is looked at below
    problems = [
        f"{exported.file}: {what}: {WARNING}"
        for what in plain_problems(exported.file, exported.places, MOST_VARIABLES)
    ]
    commit, nbytes = exported.commits[0], 0
    try:
        with opened_shard(exported.file, commit.size) as descriptor:
            nbytes = commit.size - sum(end - start for start, end in commit.spans)
            if rest_checksum(descriptor, commit.size, commit.spans) != commit.rest:
                problems.append(f"{exported.file}: HDF5 records were altered: export it again")
        _ = exported.columns
    except DamagedStore as error:
        problems.append(f"{error}: export it again")
    yield Checked(exported.file.name, nbytes, tuple(problems), "file")
    for number, commit in enumerate(exported.commits):
        nbytes, damages = check_commit(commit, exported.file, "export it again", rests)
        yield Checked(f"{exported.file.name} unit {number}", nbytes, tuple(damages))

"""An exported file in place of a run: a ``Run`` whose units all lie in that file.

The file is read by its record alone, never through HDF5: links, external storage or virtual
datasets in it lead nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from actlas.store.errors import UsageError, unknown
from actlas.store.format.export_record import read_export
from actlas.store.format.schema import Json, checksum
from actlas.store.io.safe_open import placed
from actlas.store.labels.columns import Columns
from actlas.store.labels.labels import SENTENCE_IN_RUN
from actlas.store.labels.stored_columns import StoredColumn, read_columns
from actlas.store.reading.index import RunIndex
from actlas.store.reading.stored_labels import opened_shard
from actlas.store.remote import objects
from actlas.store.remote.path import RemotePath
from actlas.store.runs.run import Run


class Exported(Run):
    """The export at ``path``.

    Raises UsageError where that is none, DamagedStore where its record is not valid.
    """

    def __init__(self, path: str | Path) -> None:
        self.file = path = placed(path)
        if isinstance(path, RemotePath):
            objects.forget(str(path))
        self.export_record = record = read_export(path)
        self.header = record.header
        self.folder, self.names = path.parent, (path.name,)
        self.units = record.commit.units
        self.id: str = self.header["run"]
        self.specification = self.header["specification"]
        self.description = self.header["description"]
        self.selection: Json = self.header["selection"]
        self.records = (record.commit,)

    @cached_property
    def index(self) -> RunIndex:
        """Where its units lie: in the file."""
        return RunIndex(self.id, self.name, self.folder, self.units, self.records)

    @property
    def stored_columns(self) -> Mapping[str, StoredColumn]:
        """Where the label columns lie in the file."""
        return self.export_record.columns

    @cached_property
    def own_labels(self) -> Columns:
        """The label columns that it was exported with; raises DamagedStore."""
        with opened_shard(self.file, self.records[0].size) as read:
            return read_columns(self.file, read, self.stored_columns, self.counts)

    @property
    def labels_version(self) -> int:
        """Version of the run's label columns that it was exported with."""
        return int(self.header["labels_version"])

    @property
    def labels_digest(self) -> str:
        """Digest of the run's label columns that it was exported with."""
        return str(self.header["labels_digest"])

    @property
    def limits(self) -> Json:
        """The selection of the run that was exported."""
        return {"export": self.selection}

    @property
    def sentences_id(self) -> str:
        """The id of the run's sentences, unless some were left out before others.

        Sentences then have other numbers here than in the run.
        """
        numbers = self.labels.columns.get(SENTENCE_IN_RUN)
        of_run = super().sentences_id
        if numbers is None or np.array_equal(numbers, np.arange(len(numbers))):
            return of_run
        return f"{of_run} {checksum(numbers.tobytes())}"

    @property
    def derivation(self) -> None:
        """None: it may have parts of sentences, of which weights of attention do not follow."""
        return None

    def refresh(self) -> None:
        """Do nothing: an export does not change."""

    def _require(self, wanted: Sequence[str], _index: RunIndex) -> None:
        """Raise UsageError for a site that was not exported."""
        for site in wanted:
            if site not in self.sites:
                raise UsageError(
                    f"{self.file} was exported without it: {unknown('site', site, self.sites)}"
                )

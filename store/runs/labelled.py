"""What is known of a run beside its activations: how large it is, and the newest of its labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence, Set
from functools import cached_property
from pathlib import Path

from actlas.store.errors import DamagedStore
from actlas.store.format.run_record import FILE
from actlas.store.format.schema import Json, Unit, identity
from actlas.store.io.safe_open import refuse_links
from actlas.store.labels.columns import SENTENCE, TOKEN, Columns, Counts
from actlas.store.labels.record import REMEDY, LabelRecord, newest_record, read_values, versions
from actlas.store.labels.stored_columns import StoredColumn, of_dim

#: what an open run keeps of its labels until it is refreshed
CACHED_LABELS = ("labels", "label_record", "own_labels")


class Labelled(ABC):
    """A run by its record and its labels."""

    id: str
    folder: Path
    names: Sequence[str]
    specification: Json
    units: tuple[Unit, ...]

    @abstractmethod
    def known_sites(self) -> Set[str]:
        """Return the names of all sites, which no label can have."""

    @property
    def name(self) -> str:
        """The first of its names, or its id."""
        return self.names[0] if self.names else self.id

    @property
    def sentences(self) -> int:
        """Number of sentences."""
        return sum(unit.sentences for unit in self.units)

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return sum(unit.tokens for unit in self.units)

    @property
    def counts(self) -> Counts:
        """Number of sentences and tokens, by the name of the dim."""
        return {SENTENCE: self.sentences, TOKEN: self.tokens}

    @property
    def baseline_id(self) -> str | None:
        """Of a variant: the id of the run without its edits; None for a run without edits."""
        if not self.specification.get("edits"):
            return None
        return identity({**self.specification, "edits": []})

    def refresh_labels(self) -> None:
        """Forget the labels, to see a version made since."""
        for cached in CACHED_LABELS:
            self.__dict__.pop(cached, None)

    @property
    def label_home(self) -> Path:
        """The folder that has the label columns.

        A variant uses that of its baseline, so that they agree.
        """
        folder = self.folder.parent / (self.baseline_id or self.id)
        return folder if (folder / FILE).is_file() else self.folder

    @cached_property
    def label_record(self) -> LabelRecord:
        """The newest version of the label columns when first asked for; raises DamagedStore."""
        home = self.label_home
        refuse_links(home)
        if self.baseline_id and home == self.folder and not versions(home):
            has = f"the labels of run {self.name} are those of its baseline {self.baseline_id}"
            raise DamagedStore(f"{has}, which is not there: {REMEDY}")
        return newest_record(home, self.counts)

    @property
    def stored_columns(self) -> Mapping[str, StoredColumn]:
        """Where the newest label columns lie; raises DamagedStore."""
        return self.label_record.columns

    @property
    def columns(self) -> Columns:
        """The input's own columns, (sentence,): int64, float64, uint8 or str.

        Raises DamagedStore.
        """
        return of_dim(self.own_labels, self.stored_columns, SENTENCE)

    @property
    def token_columns(self) -> Columns:
        """The user's labels of tokens, (token,): int64, float64, uint8 or str.

        Raises DamagedStore.
        """
        return of_dim(self.own_labels, self.stored_columns, TOKEN)

    @cached_property
    def own_labels(self) -> Columns:
        """All label columns, of sentences and of tokens; raises DamagedStore."""
        return read_values(self.label_home, self.label_record, self.known_sites())

    @property
    def labels_version(self) -> int:
        """Version of its label columns, from 1 on; ``actlas relabel`` makes the next."""
        return self.label_record.number

    @property
    def labels_digest(self) -> str:
        """Digest of the label columns, 16 hex digits, of names, dtypes and values."""
        return self.label_record.digest

"""Selections of tokens that a run has rows of, where not all are kept: which tokens these are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from actlas.store.format.commit_record import CommitRecord
from actlas.store.format.parts import WHOLE, Kept
from actlas.store.format.schema import Unit
from actlas.store.reading.stored_labels import read_masks

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]


class Selections:
    """The selections of the records of a run, by digest; what is read of them is read once.

    path: of the file of a record.
    """

    def __init__(
        self, records: Sequence[CommitRecord], path: Callable[[CommitRecord], Path]
    ) -> None:
        self._records = [record for record in records if record.kept]
        self._path = path
        self._masks: dict[str, Mapping[int, Mask]] = {}
        self._wider: dict[str, frozenset[str]] = {}

    @cached_property
    def known(self) -> Mapping[str, Kept]:
        """Digest → how the tokens were asked for."""
        return {record.kept.digest: record.kept for record in self._records if record.kept}

    @cached_property
    def widest_first(self) -> tuple[str, ...]:
        """All digests, those with more tokens first."""
        sizes = {digest: self.tokens(digest) for digest in self.known}
        return tuple(sorted(sizes, key=lambda digest: (-sizes[digest], digest)))

    def masks(self, digest: str) -> Mapping[int, Mask]:
        """Return number of a unit → which of its tokens are kept, of the units that have any file.

        Raises DamagedStore.
        """
        if digest not in self._masks:
            found: dict[int, Mask] = {}
            for record in self._records:
                if record.kept and record.kept.digest == digest:
                    masks = read_masks(self._path(record), record)
                    for index in record.present:
                        found.setdefault(record.units[index].number, masks[index].astype(bool))
            self._masks[digest] = found
        return self._masks[digest]

    def wider(self, digest: str) -> frozenset[str]:
        """Return the selections that have all tokens of one: all tokens, itself, and others."""
        if digest == WHOLE:
            return frozenset({WHOLE})
        if digest not in self._wider:
            others = {other for other in self.known if self._includes(other, digest)}
            self._wider[digest] = frozenset({WHOLE, digest, *others})
        return self._wider[digest]

    def mask(self, digest: str, unit: Unit) -> Mask:
        """Return which tokens of a unit are kept; raises KeyError where no file says so."""
        return (
            np.ones(unit.tokens, dtype=bool) if digest == WHOLE else self.masks(digest)[unit.number]
        )

    def tokens(self, digest: str) -> int:
        """Return how many tokens are kept, in the units that have any file."""
        return sum(int(mask.sum()) for mask in self.masks(digest).values())

    def _includes(self, one: str, other: str) -> bool:
        """Whether ``one`` has all tokens of ``other`` in the units of which both are known."""
        more, less = self.masks(one), self.masks(other)
        return all(
            bool((more[number] >= less[number]).all()) for number in more.keys() & less.keys()
        )


def taken(wanted: Mask, stored: Mask) -> Indices:
    """Return which rows of those ``stored`` are those of the tokens ``wanted``."""
    rows: Indices = np.flatnonzero(wanted[stored])
    return rows

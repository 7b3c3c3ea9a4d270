"""Which rows of a block of tokens are of which group, block after block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from actlas.analysis.data.sentences import Indices


class BlockRows:
    """The tokens of groups in ascending order, to be asked for by block.

    groups: name → tokens, which a group may have more than once.
    """

    def __init__(self, groups: Mapping[str, npt.NDArray[np.integer]]) -> None:
        # of a group in order nothing is copied
        self._orders = {name: _order(tokens) for name, tokens in groups.items()}
        self._tokens = {}
        for name, tokens in groups.items():
            order = self._orders[name]
            self._tokens[name] = tokens if order is None else tokens[order]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._tokens)

    def size(self, name: str) -> int:
        """Return how many tokens a group has."""
        return len(self._tokens[name])

    def any(self, first: int, count: int) -> bool:
        """Return whether some group has a token in a block of ``count`` from ``first`` on."""
        parts = (self._part(name, first, count) for name in self._tokens)
        return any(part.stop > part.start for part in parts)

    def rows(self, name: str, first: int, count: int) -> Indices:
        """Return the rows of a group in a block of ``count`` tokens from ``first`` on."""
        part = self._part(name, first, count)
        return self._tokens[name][part].astype(np.int64) - first

    def places(self, name: str, first: int, count: int) -> slice | Indices:
        """Return which of the group's tokens, as they were given, these rows are."""
        part, order = self._part(name, first, count), self._orders[name]
        return part if order is None else order[part]

    def _part(self, name: str, first: int, count: int) -> slice:
        start, end = np.searchsorted(self._tokens[name], (first, first + count))
        return slice(int(start), int(end))


def _order(tokens: npt.NDArray[np.integer]) -> Indices | None:
    ascending = bool(np.all(tokens[1:] >= tokens[:-1]))
    return None if ascending else np.argsort(tokens, kind="stable")

"""Rows of one layer in random order, batch by batch: what trains a probe or an autoencoder.

Units are drawn at random into a pool of several; batches are drawn from half of it, the other half
stays until more came. So the rows of a batch come from all over the run, while each block is read
once an epoch and no more than the pool is in use at a time. Blocks of float32 are mapped, not held.
Within a batch the rows of a unit stand side by side, which its mean does not see: putting them in
another order would be a second copy of every row, and cost half of the throughput.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from actlas.store.errors import UsageError
from actlas.store.format.parts import ranges
from actlas.store.format.schema import BLOCK_DIMS, SiteLayout
from actlas.store.reading.blocks import find_source, read_block
from actlas.store.reading.sources import Sources, layout_of, site_sources
from actlas.store.runs.run import Run

Indices = npt.NDArray[np.int64]
Batch = tuple[npt.NDArray[np.float32], Indices]

LEAST_UNITS = 4  # that a pool mixes, however large they are


@dataclass(frozen=True)
class Feed:
    """The rows of a site at one layer, each once an epoch, in an order that ``seed`` decides."""

    sources: Sequence[Sources]  # of each unit
    sizes: tuple[int, ...]  # tokens of each unit
    number: int  # layer or depth, 0 of a site that has neither
    tokens: Indices  # along the run's ``token``, ascending: those that are fed
    batch: int
    seed: int
    pool: int  # tokens that are mixed with one another, at least
    check: bool
    # units whose block was compared with its checksum: files do not change, once is enough
    checked: set[int] = field(default_factory=set, compare=False)

    def epoch(self, number: int, part: int = 0, parts: int = 1) -> Iterator[Batch]:
        """Yield the rows of one epoch with their indices along ``token``, (n, …) and (n,).

        The last batch may be smaller. part, parts: which of so many shares of the units, for
        workers: together they yield each token once. Raises DamagedStore.
        """
        units = np.flatnonzero(np.diff(self._cuts))
        order = np.random.default_rng([self.seed, number]).permutation(units)
        pool = _Pool(np.random.default_rng([self.seed, number, part + 1]))
        for unit in order[part::parts].tolist():
            pool.add(self._block(unit), *self._rows(unit))
            if len(pool) >= self.pool and pool.units >= LEAST_UNITS:
                # half stays, to be mixed with what comes next
                yield from pool.draw(max(len(pool) // 2 // self.batch, 1), self.batch)
        yield from pool.draw(-(-len(pool) // self.batch), self.batch)

    @cached_property
    def _starts(self) -> Indices:
        return np.cumsum([0, *self.sizes])

    @cached_property
    def _cuts(self) -> Indices:
        return np.searchsorted(self.tokens, self._starts)

    def _rows(self, unit: int) -> tuple[Indices, Indices]:
        """Return the rows of a unit that are fed, and their indices along the run's ``token``."""
        tokens = self.tokens[self._cuts[unit] : self._cuts[unit + 1]]
        return tokens - self._starts[unit], tokens

    def _block(self, unit: int) -> npt.NDArray[np.float32]:
        check = self.check and unit not in self.checked
        block = read_block(find_source(self.sources[unit], self.number), self.number, check)
        self.checked.add(unit)
        return block


class _Pool:
    """Blocks of several units and the rows of them that were not drawn yet."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._blocks: dict[int, npt.NDArray[np.float32]] = {}
        self._next = 0
        self._left = np.empty((3, 0), dtype=np.int64)  # (block, row, token) of each

    def __len__(self) -> int:
        return self._left.shape[1]

    @property
    def units(self) -> int:
        """Number of blocks that have rows left."""
        return len(self._blocks)

    def add(self, block: npt.NDArray[np.float32], rows: Indices, tokens: Indices) -> None:
        """Put the rows of a block in."""
        numbers = np.full(len(rows), self._next)
        self._blocks[self._next] = block
        self._next += 1
        self._left = np.concatenate([self._left, [numbers, rows, tokens]], axis=1)

    def draw(self, batches: int, size: int) -> Iterator[Batch]:
        """Yield so many batches of rows drawn at random, and let go of blocks without any left."""
        mixed = self._left[:, self._random.permutation(len(self))]
        end = min(batches * size, len(self))
        drawn, self._left = mixed[:, :end], mixed[:, end:]
        for first in range(0, end, size):
            yield self._gather(*drawn[:, first : first + size])
        left = set(np.unique(self._left[0]).tolist())
        self._blocks = {number: each for number, each in self._blocks.items() if number in left}

    def _gather(self, numbers: Indices, rows: Indices, tokens: Indices) -> Batch:
        """Copy rows once, from their blocks to their places: those of one block side by side."""
        order = np.argsort(numbers, kind="stable")
        numbers, rows = numbers[order], rows[order]
        shape = next(iter(self._blocks.values())).shape[1:]
        found = np.empty((len(rows), *shape), dtype=np.float32)
        ends = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(rows)]
        for first, last in pairwise(ends):
            block = self._blocks[int(numbers[first])]
            # a mode other than "raise" writes into ``out`` without a copy between
            np.take(block, rows[first:last], axis=0, out=found[first:last], mode="clip")
        return found, tokens[order]


def feed(
    run: Run,
    site: str,
    layer: int | None,
    batch: int,
    *,
    where: Any = None,
    seed: int = 0,
    pool: int = 16384,
    check: bool = True,
) -> Feed:
    """Return the rows of ``site`` at ``layer`` as they are to be fed.

    layer: of the model; of ``resid`` the depth; None for a site without layers. where: a boolean
    on ``token``, as ``ds["position"] > 0`` is, or indices along it, each once; all tokens by
    default. pool: tokens that are mixed with one another, at least. check: compare every block
    with its checksum when it is first read.
    Raises UsageError for a site, layer, batch or tokens that cannot be, IncompleteRun,
    DamagedStore.
    """
    if batch < 1 or pool < 1:
        raise UsageError(f"expected a batch and a pool of at least 1 token, got {batch} and {pool}")
    run.require(site)
    tokens = chosen_tokens(where, run.tokens)
    return Feed(
        site_sources(run.index, site),
        tuple(unit.tokens for unit in run.units),
        number_of(run, layout_of(run.index, site), layer),
        tokens,
        batch,
        seed,
        max(pool, 2 * batch),
        check,
    )


def number_of(run: Run, layout: SiteLayout, layer: int | None) -> int:
    """Return the layer, or depth, as blocks are counted; raises UsageError for one not stored."""
    dim = layout.dims[0]
    if dim not in BLOCK_DIMS:
        if layer is not None:
            raise UsageError(f"{layout.site} has no layers: expected layer=None, got {layer}")
        return 0
    numbers = run.index.numbers[layout.site]
    if layer is None or layer not in numbers:
        there = ranges(numbers)
        raise UsageError(f"{layout.site} of run {run.name} has {dim} {there}, got {layer}")
    return layer


def chosen_tokens(where: Any, count: int) -> Indices:
    """Return the indices that ``where`` chooses among ``count`` tokens; raises UsageError."""
    if where is None:
        return np.arange(count)
    chosen = np.asarray(where)
    if chosen.dtype == np.bool_ and chosen.shape == (count,):
        chosen = np.flatnonzero(chosen)
    elif chosen.dtype.kind not in "iu" or chosen.ndim != 1:
        raise UsageError(
            f"where: expected a boolean on the run's {count} tokens or indices of them, got "
            f"{chosen.dtype} of shape {chosen.shape}"
        )
    tokens: Indices = np.unique(chosen.astype(np.int64))
    if not len(tokens):
        raise UsageError("where chooses no token: expected at least one")
    if len(tokens) < len(chosen):
        raise UsageError("where names a token twice: expected each once")
    if tokens[0] < 0 or tokens[-1] >= count:
        raise UsageError(f"where: expected indices from 0 to {count - 1}, got {tokens[[0, -1]]}")
    return tokens

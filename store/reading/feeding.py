"""Rows of one layer in random order, batch by batch: what trains a probe or an autoencoder.

Units are drawn at random into a pool of several; batches are drawn from half of it, the other half
stays until more came. So the rows of a batch come from all over the run, while each block is read
once an epoch and no more than the pool is in use at a time. Blocks of float32 are mapped, not held.
A batch is in the order of the run's tokens, which its mean does not see: rows are copied as they
lie, once. Threads read blocks and gather batches ahead of who takes them.
"""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from actlas.store.errors import UsageError
from actlas.store.format.parts import ranges
from actlas.store.format.schema import BLOCK_DIMS, SiteLayout
from actlas.store.reading.blocks import find_source, read_stored, widened
from actlas.store.reading.sources import Sources, layout_of, site_sources
from actlas.store.runs.run import Run

Indices = npt.NDArray[np.int64]
Batch = tuple[npt.NDArray[np.float32], Indices]
Stored = tuple[npt.NDArray[Any], str]  # a block as it is stored, and its dtype
T = TypeVar("T")

THREADS = 2
AHEAD = 2  # batches, and blocks, that are made while one is in use
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
        random = np.random.default_rng([self.seed, number, part + 1])
        pool = _Pool(random, self._starts, self.batch)
        mine = order[part::parts].tolist()
        with ThreadPoolExecutor(THREADS) as threads:
            blocks = ahead(threads, (partial(self._block, unit) for unit in mine))
            yield from ahead(threads, self._gathers(pool, zip(mine, blocks, strict=True)))

    def _gathers(
        self, pool: _Pool, blocks: Iterable[tuple[int, Stored]]
    ) -> Iterator[Callable[[], Batch]]:
        """Yield for each batch of an epoch what gathers it."""
        for unit, block in blocks:
            pool.add(unit, block, self.tokens[slice(*self._cuts[unit : unit + 2])])
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

    def _block(self, unit: int) -> Stored:
        check = self.check and unit not in self.checked
        source = find_source(self.sources[unit], self.number)
        block = read_stored(source, self.number, check)
        self.checked.add(unit)
        return block, source.stored.layout.dtype


def ahead(threads: ThreadPoolExecutor, tasks: Iterable[Callable[[], T]]) -> Iterator[T]:
    """Yield what ``tasks`` return, in their order; AHEAD of them are done while one is in use."""
    waiting: deque[Future[T]] = deque()
    for task in tasks:
        waiting.append(threads.submit(task))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


class _Pool:
    """Blocks of several units and the tokens of them that were not drawn yet."""

    def __init__(self, random: np.random.Generator, starts: Indices, batch: int) -> None:
        self._random, self._starts = random, starts
        self._memory = _Memory(batch)
        self._blocks: dict[int, Stored] = {}  # by unit
        self._left = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._left)

    @property
    def units(self) -> int:
        """Number of blocks that have rows left."""
        return len(self._blocks)

    def add(self, unit: int, block: Stored, tokens: Indices) -> None:
        """Put the rows of a block in."""
        self._blocks[unit] = block
        self._left = np.concatenate([self._left, tokens])

    def draw(self, batches: int, size: int) -> Iterator[Callable[[], Batch]]:
        """Yield what gathers so many batches of rows drawn at random.

        Blocks without any left are let go of.
        """
        mixed = self._random.permutation(self._left)
        end = min(batches * size, len(self))
        drawn, self._left = mixed[:end], mixed[end:]
        for first in range(0, end, size):
            tokens = np.sort(drawn[first : first + size])
            yield partial(_gathered, tokens, self._parts(tokens), self._memory)
        left = {start for start, *_ in self._parts(np.sort(self._left))}
        kept = [unit for unit in self._blocks if int(self._starts[unit]) in left]
        self._blocks = {unit: self._blocks[unit] for unit in kept}

    def _parts(self, tokens: Indices) -> list[tuple[int, int, int, Stored]]:
        """Return the units of ascending ``tokens``: first token, its part of them, block."""
        units = sorted(self._blocks)
        firsts, lasts = (self._starts[np.add(units, end)] for end in (0, 1))
        cuts = zip(*np.searchsorted(tokens, [firsts, lasts]).tolist(), strict=True)
        found = zip(units, firsts.tolist(), cuts, strict=True)
        return [(first, *cut, self._blocks[unit]) for unit, first, cut in found if cut[0] < cut[1]]


def _gathered(
    tokens: Indices, parts: Sequence[tuple[int, int, int, Stored]], memory: _Memory
) -> Batch:
    """Copy rows once, from their blocks to their places; in ascending order memory is fast."""
    shape = parts[0][3][0].shape[1:]
    found = memory.rows(len(tokens), shape)
    for start, first, last, (block, dtype) in parts:
        rows, place = tokens[first:last] - start, found[first:last]
        if dtype == "float32":
            # a mode other than "raise" writes into ``out`` without a copy between
            np.take(block, rows, axis=0, out=place, mode="clip")
        else:
            place[...] = widened(block[rows], dtype)
    return found, tokens


class _Memory:
    """Memory of batches, given out again once nobody holds the batch: new pages are slow."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._free: list[memoryview] = []

    def rows(self, count: int, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Return room for a batch of ``count`` rows."""
        width = math.prod(shape)
        memory = self._free.pop() if self._free else np.empty(self._batch * width, np.float32).data
        # views of it, also torch's, hold this array, because what it is made of is no array
        whole = np.frombuffer(memory, np.float32, count * width)
        weakref.finalize(whole, self._free.append, memory).atexit = False
        return whole.reshape(count, *shape)


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
    index = run.index.of((site,))
    tokens = chosen_tokens(where, sum(index.sizes))
    return Feed(
        site_sources(index, site),
        index.sizes,
        number_of(run, layout_of(index, site), layer),
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
    numbers = run.index.readable_numbers[layout.site]
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

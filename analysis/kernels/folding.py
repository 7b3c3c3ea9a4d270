"""One pass over the tokens of a layer or depth, block after block, into an accumulator.

A place is a task of dask's, and reads its own blocks one by one: neither they nor a graph of all
blocks of the run are ever held together, however many tokens it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Protocol
from uuid import uuid4

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from dask.highlevelgraph import HighLevelGraph

Floats = npt.NDArray[np.float64]


class Accumulator(Protocol):
    """What is kept of the tokens seen so far."""

    def add(self, first: int, *blocks: npt.NDArray[Any]) -> None:
        """Take in blocks (token, …) of the same tokens, the first of which is ``first``."""

    def result(self) -> Floats:
        """Return the numbers of all tokens."""


#: first token and number of tokens of a block → whether it has to be read
Wanted = Callable[[int, int], bool]


class _Hidden:
    """Arrays and how their accumulator is made; hides them from dask, which would look inside."""

    def __init__(
        self, make: Callable[[], Accumulator], arrays: Sequence[da.Array], wanted: Wanted | None
    ) -> None:
        self.make, self.arrays, self.wanted = make, arrays, wanted
        self._token = uuid4().hex

    def __dask_tokenize__(self) -> str:
        return self._token


def folded(
    make: Callable[[], Accumulator],
    sizes: Mapping[str, int],
    *arrays: xr.DataArray,
    wanted: Wanted | None = None,
) -> xr.DataArray:
    """Return what an accumulator finds at each place, float64; lazy.

    make: makes an empty one. sizes: of the dims of its result, which follow the place. arrays:
    (place, token, …), alike along place and token. Blocks are added in the order of their tokens,
    each once; those that are not ``wanted`` are not read.
    """
    places, dims = arrays[0].shape[0], (arrays[0].dims[0], *sizes)
    if not places:
        none = da.zeros((0, *sizes.values()), chunks=-1)
        return xr.DataArray(xr.Variable(dims, none))
    first = _whole(arrays[0])
    tokens = first.chunks[1]
    others = [_whole(array).rechunk({0: 1, 1: tokens}) for array in arrays[1:]]
    hidden = _Hidden(make, [first, *others], wanted)
    found: da.Array = da.map_blocks(
        _place,
        da.arange(places, chunks=1),
        hidden=hidden,
        chunks=((1,) * places, *((size,) for size in sizes.values())),
        new_axis=list(range(1, len(sizes) + 1)) or None,
        dtype=np.float64,
        name=f"folded-{uuid4().hex}",
        meta=np.empty((0,) * (len(sizes) + 1)),
    )
    # a DataArray of a dask array would take its name, which is another each time
    return xr.DataArray(xr.Variable(dims, found))


def _whole(array: xr.DataArray) -> da.Array:
    """Return the array of ``array``, a place and a unit a block."""
    found: da.Array = array.data if array.chunks else da.from_array(array.values, chunks=-1)
    whole: da.Array = found.rechunk({0: 1, **dict.fromkeys(range(2, array.ndim), -1)})
    return whole


def _place(number: npt.NDArray[np.int64], hidden: _Hidden) -> Floats:
    """Return the numbers of one place: (1, …)."""
    arrays = [array[int(number[0])] for array in hidden.arrays]
    sizes = arrays[0].chunks[0]
    units = zip(accumulate(sizes, initial=0), sizes, strict=False)
    name, state = f"step-{uuid4().hex}", hidden.make()
    graph: dict[Any, Any] = {}
    # a step waits for the one before, so that a block is dropped before the next is read
    for unit, (first, count) in enumerate(units):
        if hidden.wanted is None or hidden.wanted(first, count):
            before = (name, len(graph) - 1) if graph else None
            blocks = [(array.name, unit, *(0,) * (array.ndim - 1)) for array in arrays]
            graph[name, len(graph)] = (_add, state, first, before, *blocks)
    if graph:
        layers = HighLevelGraph.from_collections(name, graph, dependencies=arrays)
        steps = da.Array(layers, name, chunks=((1,) * len(graph),), dtype=np.int64)
        steps[-1:].compute(scheduler="synchronous")
    return state.result()[np.newaxis]


def _add(state: Accumulator, first: int, before: object, *blocks: npt.NDArray[Any]) -> Any:
    state.add(first, *blocks)
    return np.zeros(1, dtype=np.int64)

"""What each MLP neuron adds to a logit difference: its activation times what it writes.

Neuron i of a layer adds a_i · ⟨w_out[i], c⟩/σ, with c and σ as in ``compute``. Where a norm follows
the MLP its divisor is frozen too, and its gain is part of c. One task a layer reads its blocks unit
by unit, so that beside a block there are projections (pair, neuron) and a tile of contributions.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from dask.delayed import delayed

from actlas.analysis.attribution.compute import Answers, Directions, divisors
from actlas.analysis.data.sentences import Indices
from actlas.analysis.groups.token_groups import TokenGroups
from actlas.analysis.kernels.streaming import TILE
from actlas.analysis.lens.logits import Rows
from actlas.store.readouts.readout import NeuronReadout, Readout

Floats = npt.NDArray[np.float64]
SUMS = ("neuron_sum", "neuron_bias", "divisor")  # of a token, all neurons of a layer together
WIDE = 16 * TILE  # values of a tile of contributions: 8 MB


class Neurons:
    """The neurons of a run, and what they add at the tokens of ``answers``.

    An ordinary class: dask would look into a dataclass.
    """

    def __init__(
        self, dataset: xr.Dataset, readout: Readout, neurons: NeuronReadout, answers: Answers
    ) -> None:
        """Take ``resid`` (depth, token, d_model) and ``mlp_post`` (layer, token, d_mlp)."""
        pairs, self._pair = answers.pairs()
        self._directions = Directions(readout, pairs)
        self._divisors = divisors(dataset, self._directions, answers)
        post = dataset["mlp_post"].transpose("layer", "token", "d_mlp")
        self._post = post.drop_vars(list(post.coords))
        self._matrices, self._tokens = neurons, answers.tokens
        cuts = np.cumsum(post.chunksizes["token"]) if post.chunks else [post.sizes["token"]]
        self._units = np.unique(np.searchsorted(self._tokens, [0, *cuts])).tolist()
        self.layers, self.count = post.sizes["layer"], post.sizes["d_mlp"]

    def added(self, groups: TokenGroups) -> tuple[xr.DataArray, xr.DataArray]:
        """Return SUMS (number, layer, token), and the mean of every neuron; both lazy.

        groups: of the tokens of the answers alone. The means are (group, layer, d_mlp), NaN in a
        group without tokens. σ of the final norm, times the divisor of a norm behind the MLP, is
        ``divisor``.
        """
        members = np.stack([np.isin(self._tokens, tokens) for tokens in groups.values()])
        shapes = ((len(SUMS), len(self._tokens)), (len(members), self.count))
        sums, means = [], []
        for layer in range(self.layers):
            found = delayed(self._layer, traverse=False)(layer, self._divisors.data, members)
            sums.append(da.from_delayed(found[0], shapes[0], np.float64))
            means.append(da.from_delayed(found[1], shapes[1], np.float64))
        numbers = xr.DataArray(da.stack(sums, 1), dims=("number", "layer", "token"))
        every = xr.DataArray(da.stack(means, 1), dims=("group", "layer", "d_mlp"))
        layers = np.arange(self.layers)
        named = numbers.assign_coords(number=list(SUMS), layer=layers)
        return named, every.assign_coords(group=list(groups), layer=layers)

    def of(self, chosen: xr.DataArray, numbers: xr.DataArray) -> xr.DataArray:
        """Return what neurons ``chosen`` (layer, choice) add, (layer, choice, token); lazy.

        numbers: SUMS of the same run.
        """
        divisor = numbers.sel(number="divisor", drop=True)
        shape = (chosen.sizes["choice"], len(self._tokens))
        found = []
        for layer in range(self.layers):
            arrays = (chosen.isel(layer=layer).data, divisor.isel(layer=layer).data)
            part = delayed(self._chosen, traverse=False)(layer, *arrays)
            found.append(da.from_delayed(part, shape, np.float64))
        dims = ("layer", "choice", "token")
        return xr.DataArray(da.stack(found), {"layer": np.arange(self.layers)}, dims)

    def _layer(
        self, layer: int, divisor: Floats, members: npt.NDArray[np.bool_]
    ) -> tuple[Floats, Floats]:
        """Return SUMS (number, token) of a layer, and means by group (group, neuron)."""
        gain, bias = self._matrices.gain(layer), self._matrices.b_out(layer)
        directions = self._directions.stream if gain is None else self._directions.stream * gain
        projected = directions @ self._matrices.w_out(layer).T  # (pair, neuron)
        sums = np.zeros((len(SUMS), len(self._tokens)))
        sums[2] = divisor
        totals, counts = np.zeros((len(members), self.count)), members.sum(1, keepdims=True)
        for part, block in self._blocks(layer):
            if gain is not None:
                sums[2, part] *= self._behind(layer, block)
            for rows in _tiles(part, self.count):
                tile = block[rows.start - part.start : rows.stop - part.start]
                added = tile * projected[self._pair[rows]]
                added /= sums[2, rows, np.newaxis]
                sums[0, rows] = added.sum(-1)
                totals += members[:, rows].astype(np.float64) @ added
        if bias is not None:
            sums[1] = (directions @ bias)[self._pair] / sums[2]
        return sums, np.where(counts, totals / np.maximum(counts, 1), np.nan)

    def _chosen(self, layer: int, neurons: Indices, divisor: Floats) -> Floats:
        """Return what some neurons of a layer add, (neuron, token)."""
        gain = self._matrices.gain(layer)
        directions = self._directions.stream if gain is None else self._directions.stream * gain
        projected = directions @ self._matrices.w_out(layer, neurons).T  # (pair, neuron)
        found = np.empty((len(neurons), len(self._tokens)))
        for part, block in self._blocks(layer, neurons):
            found[:, part] = (block * projected[self._pair[part]]).T
        return found / divisor

    def _blocks(
        self, layer: int, neurons: Indices | slice = slice(None)
    ) -> Iterator[tuple[slice, Rows]]:
        """Yield the activations of each unit of a layer, (token, neuron), and which tokens."""
        for start, stop in zip(self._units[:-1], self._units[1:], strict=True):
            part = slice(start, stop)
            chosen = self._post.isel(layer=layer, token=self._tokens[part])
            yield part, chosen.isel(d_mlp=neurons).compute(scheduler="synchronous").values

    def _behind(self, layer: int, block: Rows) -> Floats:
        """Return what the norm behind an MLP divides by, (token,)."""
        written = block.astype(np.float32, copy=False) @ self._matrices.w_out(layer)
        bias = self._matrices.b_out(layer)
        wide = written.astype(np.float64) if bias is None else written.astype(np.float64) + bias
        found: Floats = np.sqrt(np.square(wide).mean(-1) + self._matrices.epsilon)
        return found


def _tiles(part: slice, width: int) -> Iterator[slice]:
    step = max(1, WIDE // width)
    for start in range(part.start, part.stop, step):
        yield slice(start, min(start + step, part.stop))


def foremost(means: xr.DataArray, count: int) -> xr.DataArray:
    """Return the ``count`` neurons of each layer that add most in any group; lazy.

    means: (group, layer, d_mlp). Returns numbers of neurons (layer, choice), those of largest
    absolute mean first.
    """
    count = min(count, means.sizes["d_mlp"])
    most = abs(means).max("group").fillna(0).transpose("layer", "d_mlp")
    found: xr.DataArray = xr.apply_ufunc(
        partial(_foremost, count=count),
        most,
        input_core_dims=[["d_mlp"]],
        output_core_dims=[["choice"]],
        dask="parallelized",
        output_dtypes=[np.int64],
        dask_gufunc_kwargs={"output_sizes": {"choice": count}},
    )
    return found


def _foremost(values: Floats, *, count: int) -> Indices:
    found: Indices = np.argsort(-values, axis=-1, kind="stable")[..., :count]
    return found


def with_neurons(
    result: xr.Dataset, neurons: Neurons, groups: TokenGroups, count: int
) -> xr.Dataset:
    """Return ``result`` of ``attribution`` with what neurons add; lazy.

    Adds ``neuron_sum`` and ``neuron_bias`` (layer, token), which add up to the part of the MLP;
    ``mean_every_neuron`` (group, layer, d_mlp); ``neuron`` (layer, choice), the ``count`` of each
    layer that add most in any of ``groups``, and ``neuron_attribution`` (layer, choice, token).
    """
    numbers, means = neurons.added(groups)
    chosen = foremost(means, count)
    found = {name: numbers.sel(number=name, drop=True) for name in SUMS[:2]}
    found["mean_every_neuron"], found["neuron"] = means, chosen
    found["neuron_attribution"] = neurons.of(chosen, numbers)
    return result.assign(found)


def same_neurons(
    before: xr.Dataset, neurons: Neurons, groups: TokenGroups, chosen: xr.DataArray
) -> xr.Dataset:
    """Return ``before`` with ``neuron_attribution`` of the neurons that were ``chosen``; lazy."""
    numbers, _ = neurons.added(groups)
    return before.assign(neuron_attribution=neurons.of(chosen, numbers))

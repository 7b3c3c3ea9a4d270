"""Study 2, norms: how large activations are, layer by layer, and who writes the stream.

How far each layer moves the stream is measured too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.sentences import Indices
from actlas.analysis.data.sites import VECTOR_SITES
from actlas.analysis.groups.by_block import BlockRows
from actlas.analysis.groups.resampling import Resampling, mean_draws
from actlas.analysis.kernels.distribution import ERROR
from actlas.analysis.kernels.folding import folded
from actlas.analysis.kernels.streaming import Floats, by_token
from actlas.analysis.norms.accumulating import STATISTICS, NormsByGroup, Stream, kept, norm
from actlas.analysis.norms.depths import span, stored_layers

WRITERS = {"attention": "attn_out", "MLP": "mlp_out"}
MEANINGS = {
    "std": "standard deviation over tokens and dimensions",
    "step": "Frobenius norm of what layer depth - 1 changes in the residual stream",
    "share": "share of a layer's output that the writer has put there: projection on the output",
    "tokens": "tokens of the group",
}
Groups = Mapping[str, Indices]  # name → tokens


def norm_profile(dataset: xr.Dataset, groups: Groups, *, sums: bool) -> xr.Dataset:
    """Sizes of every vector site of ``dataset``, per group of tokens; lazy, float64.

    dataset: sites of VECTOR_SITES, others are left out. Returns ``norm_<site>`` (group, layer or
    depth, [head or kv_head,] statistic): Euclidean norms over the tokens of a group, of each head
    for q, k, v and z; ``tokens`` (group). With ``resid``: ``step`` (group, depth) ‖h[d] − h[d−1]‖_F
    and ``std`` (group, depth) over tokens and dimensions. With ``resid`` and what a writer writes:
    ``share`` (group, writer, layer), the mean over tokens of ⟨out, h[l+1]⟩ / ‖h[l+1]‖²; the shares
    of attention, MLP and of h[l] itself add up to 1, because h[l+1] is their sum. sums: whether it
    is; where a LayerNorm follows, nothing has a share. Memory: one block, and of each layer at work
    at most ``distribution.EXACT`` norms or, of more, the bins that their quantiles come from:
    ``quantile_error``, an attribute of each, is what those may be off, relative to themselves.
    Source: study 2. A group without tokens has NaN.
    """
    sites = [site for site in VECTOR_SITES if site in dataset]
    writers = WRITERS if sums and "resid" in sites else {}
    writers = {writer: site for writer, site in writers.items() if site in sites}
    variables = (
        _stream_and_writers(dataset["resid"], [dataset[site] for site in writers.values()], groups)
        if "resid" in sites
        else {}
    )
    result = xr.Dataset(
        {"tokens": ("group", [len(tokens) for tokens in groups.values()])}, {"group": list(groups)}
    )
    result = result.assign(variables).assign_coords(statistic=list(STATISTICS))
    for site in sites:
        name = f"norm_{site}"
        if name not in result:
            result[name] = norm_statistics(dataset[site], groups)
        result[name].attrs["long_name"] = (
            f"Euclidean norm of {dataset[site].attrs.get('long_name', site)}"
        )
    if writers:
        result = result.assign_coords(writer=list(writers))
    for name, meaning in MEANINGS.items():
        if name in result:
            result[name].attrs["long_name"] = meaning
    places = {
        dim: dataset[dim].values
        for dim in ("layer", "depth")
        if dim in dataset.coords and dim in result.dims
    }
    return result.assign_coords(
        {dim: np.arange(result.sizes[dim]) for dim in {"layer", "depth"} & set(result.dims)}
        | places
    )


def norm_statistics(activations: xr.DataArray, groups: Groups) -> xr.DataArray:
    """STATISTICS of the Euclidean norms of ``activations`` (…, token, …, vector).

    The result is (group, …, statistic) in float64, lazy. ``quantile_error`` among its attributes
    is what a quantile may be off, relative to itself: 0 where all norms of a layer were kept.
    """
    place = activations.dims[0]
    placed = activations if place != "token" else activations.expand_dims("place")
    heads = placed.shape[2:-1]
    rows, names = BlockRows(groups), tuple(groups)
    make = partial(NormsByGroup, rows, names, heads)
    sizes = {"group": len(names)} | {str(dim): placed.sizes[dim] for dim in placed.dims[2:-1]}
    found = folded(make, {**sizes, "statistic": len(STATISTICS)}, placed)
    result = found.transpose("group", ...)
    result = result.isel(place=0) if place == "token" else result
    few = kept(rows, names, int(np.prod(heads, dtype=np.int64)))
    return result.assign_attrs(quantile_error=0.0 if few else ERROR)


def norm_draws(activations: xr.DataArray, groups: Groups, drawn: Resampling) -> xr.DataArray:
    """Mean norms of clusters drawn again: (resample, group, …), float64, lazy.

    activations: as ``norm_statistics`` takes them.
    """
    norms = by_token(_norm, 1, activations, tiled=False).isel(quantity=0)
    return mean_draws(norms, groups, drawn)


def _stream_and_writers(
    resid: xr.DataArray, outs: Sequence[xr.DataArray], groups: Groups
) -> dict[str, xr.DataArray]:
    """Return what ``_stream`` does, also for an export.

    An export may have consecutive depths without the layer between them.
    """
    lower, whole = stored_layers(resid)
    layers = outs[0]["layer"].values if outs and "layer" in outs[0].coords else whole
    if np.array_equal(whole, layers):
        return _stream(resid, lower, outs, groups)
    shared = _stream(resid, lower[np.isin(whole, layers)], outs, groups)
    return {name: array for name, array in shared.items() if "layer" in array.dims} | _stream(
        resid, lower, (), groups
    )


def _stream(
    resid: xr.DataArray, lower: npt.NDArray[np.int64], outs: Sequence[xr.DataArray], groups: Groups
) -> dict[str, xr.DataArray]:
    """Return norms, spread and steps of the stream, norms and shares of what writers write.

    Each stored block is visited once.

    lower: where the inputs of layers lie whose outputs lie behind them.
    """
    rows, names, statistics = BlockRows(groups), tuple(groups), len(STATISTICS)
    count = (statistics + 1) * (1 + len(outs)) + 1
    after, before = resid.isel(depth=span(lower + 1)), resid.isel(depth=span(lower))
    first = np.setdiff1d(np.arange(resid.sizes["depth"]), lower + 1)  # no step leads there
    make = partial(Stream, rows, names, writers=len(outs))
    blocks = _stream_numbers(make, len(names), count, after, before, *outs)
    make = partial(Stream, rows, names, writers=0, steps=False)
    start = _stream_numbers(make, len(names), statistics + 2, resid.isel(depth=span(first)))
    depths = xr.concat([start, blocks.isel(number=slice(statistics + 2))], "depth")
    depths = depths.isel(depth=np.argsort(np.concatenate([first, lower + 1])))
    few = kept(rows, names, 1 + len(outs))
    depths.attrs["quantile_error"] = blocks.attrs["quantile_error"] = 0.0 if few else ERROR
    variables = {
        "norm_resid": depths.isel(number=slice(statistics)).rename(number="statistic"),
        "std": depths.isel(number=statistics),
        "step": depths.isel(number=statistics + 1),
    }
    shares = []
    for index, out in enumerate(outs):
        begin = statistics + 2 + index * (statistics + 1)
        of_writer = blocks.rename(depth="layer").isel(number=slice(begin, begin + statistics + 1))
        variables[f"norm_{out.name}"] = of_writer.isel(number=slice(statistics)).rename(
            number="statistic"
        )
        shares.append(of_writer.isel(number=statistics))
    if shares:
        variables["share"] = xr.concat(shares, "writer").transpose("group", "writer", "layer")
    return variables


def _stream_numbers(
    make: Callable[[], Stream], groups: int, count: int, *arrays: xr.DataArray
) -> xr.DataArray:
    """Return (group, depth, number), lazily."""
    found = folded(make, {"group": groups, "number": count}, *arrays)
    return found.transpose("group", ...)


def _norm(rows: Floats) -> Floats:
    return norm(rows)[np.newaxis]

"""Study 2, norms: how large activations are, layer by layer, and who writes the stream.

How far each layer moves the stream is measured too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.sentences import Indices
from actlas.analysis.data.sites import VECTOR_SITES
from actlas.analysis.groups.resampling import Resampling, mean_draws
from actlas.analysis.kernels.streaming import Floats, by_token
from actlas.analysis.norms.depths import span, spread, stored_layers

STATISTICS = ("mean", "lower quartile", "median", "upper quartile", "largest")
QUANTILES = (0.25, 0.5, 0.75, 1)
PART = 256  # squares that are summed as they are stored, before float64 takes over
#: sums of squares between which all of those in float32 are safe
SMALLEST, LARGEST = 1e-25, 1e37
WRITERS = {"attention": "attn_out", "MLP": "mlp_out"}
MEANINGS = {
    "std": "standard deviation over tokens and dimensions",
    "step": "Frobenius norm of what layer depth - 1 changes in the residual stream",
    "share": "share of a layer's output that the writer has put there: projection on the output",
    "tokens": "tokens of the group",
}
Groups = Mapping[str, Indices]  # name → tokens
#: numbers of the tokens of a group (token, …, quantity) → of the group (…, number)
Reduce = Callable[[Floats], Floats]


def norm_profile(dataset: xr.Dataset, groups: Groups, *, sums: bool) -> xr.Dataset:
    """Sizes of every vector site of ``dataset``, per group of tokens; lazy, float64.

    dataset: sites of VECTOR_SITES, others are left out. Returns ``norm_<site>`` (group, layer or
    depth, [head or kv_head,] statistic): Euclidean norms over the tokens of a group, of each head
    for q, k, v and z; ``tokens`` (group). With ``resid``: ``step`` (group, depth) ‖h[d] − h[d−1]‖_F
    and ``std`` (group, depth) over tokens and dimensions. With ``resid`` and what a writer writes:
    ``share`` (group, writer, layer), the mean over tokens of ⟨out, h[l+1]⟩ / ‖h[l+1]‖²; the shares
    of attention, MLP and of h[l] itself add up to 1, because h[l+1] is their sum. sums: whether it
    is; where a LayerNorm follows, nothing has a share. Memory: one block, and the norms of the
    run's tokens at one layer. Source: study 2. A group without tokens has NaN.
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

    The result is (group, …, statistic) in float64, lazy.
    """
    norms = by_token(_norm, 1, activations, tiled=False)
    return _in_groups(_statistics, len(STATISTICS), norms, groups).rename(number="statistic")


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
    reduce, statistics = partial(_stream_numbers, width=resid.sizes["d_model"]), len(STATISTICS)
    count = (statistics + 1) * (1 + len(outs)) + 1
    after, before = resid.isel(depth=span(lower + 1)), resid.isel(depth=span(lower))
    first = np.setdiff1d(np.arange(resid.sizes["depth"]), lower + 1)  # no step leads there
    blocks = _in_groups(
        reduce, count, by_token(_stream_rows, 4 + 2 * len(outs), after, before, *outs), groups
    )
    start = _in_groups(
        reduce, statistics + 2, by_token(_start_rows, 4, resid.isel(depth=span(first))), groups
    )
    depths = xr.concat([start, blocks.isel(number=slice(statistics + 2))], "depth")
    depths = depths.isel(depth=np.argsort(np.concatenate([first, lower + 1])))
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


def _stream_rows(after: Floats, before: Floats, *outs: Floats) -> Floats:
    """Return of every row norm, mean, centred square and step of the stream.

    Norm and share of each of ``outs`` follow.
    """
    np.subtract(after, before, out=before)
    numbers = [*spread(after), np.vecdot(before, before)]
    # a stream that was scaled to 0 is nobody's: NaN
    with np.errstate(invalid="ignore", divide="ignore"):
        for out in outs:
            numbers += [*_norm(out), np.vecdot(out, after) / (numbers[0] * numbers[0])]
    return np.stack(numbers)


def _start_rows(rows: Floats) -> Floats:
    """Return norm, mean and centred square of the first depth, which no step leads to."""
    return np.concatenate([spread(rows), np.full((1, len(rows)), np.nan)])


def _norm(rows: npt.NDArray[np.floating]) -> Floats:
    """Return the Euclidean norm of each of ``rows`` (row, vector): (1, row).

    Squares do not cancel: sums of PART of them in float32 keep its digits, and cost half of what
    float64 does.
    """
    squares = np.zeros(len(rows))
    with np.errstate(over="ignore", under="ignore"):
        for start in range(0, rows.shape[1], PART):
            part = rows[:, start : start + PART]
            squares += np.vecdot(part, part)
    # the square of a value may lie outside float32
    unsure = ~((squares > SMALLEST) & (squares < LARGEST))
    if unsure.any():
        wide = rows[unsure].astype(np.float64)
        squares[unsure] = np.vecdot(wide, wide)
    return np.sqrt(squares)[np.newaxis]


def _in_groups(reduce: Reduce, count: int, rows: xr.DataArray, groups: Groups) -> xr.DataArray:
    """Return the ``count`` numbers of each group's tokens of ``rows`` (…, token, …, quantity).

    The result is (group, …, number).
    """
    axis, tokens = rows.dims.index("token"), list(groups.values())
    if rows.chunks:
        whole = rows.data.rechunk({axis: -1})
        chunks = [*whole.chunks]
        chunks[axis], chunks[-1] = (len(tokens),), (count,)
        found = da.map_blocks(
            *(_each_group, whole),
            reduce=reduce,
            count=count,
            tokens=tokens,
            axis=axis,
            chunks=tuple(chunks),
            dtype=np.float64,
        )
        found = found.rechunk({0: -1})
    else:
        found = _each_group(rows.values, reduce=reduce, count=count, tokens=tokens, axis=axis)
    dims = [*rows.dims[:axis], "group", *rows.dims[axis + 1 : -1], "number"]
    return xr.DataArray(found, dims=dims).transpose("group", ...)


def _each_group(
    rows: Floats, *, reduce: Reduce, count: int, tokens: Sequence[npt.NDArray[np.int64]], axis: int
) -> Floats:
    by_token_first = np.moveaxis(rows, axis, 0)
    found = np.full((len(tokens), *by_token_first.shape[1:-1], count), np.nan)
    for number, chosen in enumerate(tokens):
        if len(chosen):
            found[number] = reduce(by_token_first[chosen])
    return np.moveaxis(found, 0, axis)


def _statistics(norms: Floats) -> Floats:
    """Return STATISTICS of the first quantity (token, …, quantity)."""
    of_norm = norms[..., 0]
    return np.stack([of_norm.mean(0), *np.quantile(of_norm, QUANTILES, axis=0)], axis=-1)


def _stream_numbers(rows: Floats, width: int) -> Floats:
    """Return statistics of the norm, std and step.

    For each writer, statistics of the norm of what it writes and its share follow.
    """
    mean, square, step = (rows[..., quantity] for quantity in (1, 2, 3))
    away = mean - mean.mean(0)
    # within the tokens, and between their means
    std = np.sqrt(square.mean(0) / width + (away * away).mean(0))
    numbers = [_statistics(rows), std[..., np.newaxis], np.sqrt(step.sum(0))[..., np.newaxis]]
    for writer in range(4, rows.shape[-1], 2):
        numbers += [_statistics(rows[..., writer:]), rows[..., writer + 1].mean(0)[..., np.newaxis]]
    return np.concatenate(numbers, axis=-1)

"""Study 2, norms: how large activations are, layer by layer, how far a block moves the stream, and who writes into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.depths import token_spread, token_steps
from actlas.analysis.groups import Groups
from actlas.analysis.streaming import Floats, by_token

#: sites that are vectors of one token: of each head for q, k, v, z
VECTOR_SITES = (
    *("resid", "resid_mid", "q", "k", "v", "z"),
    *("attn_out", "mlp_pre", "mlp_post", "mlp_out", "final_norm"),
)
STATISTICS = ("mean", "lower quartile", "median", "upper quartile", "largest")
QUANTILES = (0.25, 0.5, 0.75, 1)
WRITERS = {"attention": "attn_out", "MLP": "mlp_out"}


#: numbers of tokens (…, token) → of all of them (…, *new dims)
Reduce = Callable[..., Floats]


def norm_profile(dataset: xr.Dataset, groups: Groups) -> xr.Dataset:
    """Sizes of every vector site of ``dataset``, per group of tokens; lazy, float64.

    dataset: sites of VECTOR_SITES, others are left out. Returns ``norm_<site>`` (group, layer or depth, [head,] statistic):
    Euclidean norms over the tokens of a group, of each head for q, k, v and z; ``tokens`` (group). With ``resid``: ``step``
    (group, depth) ‖h[d] − h[d−1]‖_F and ``std`` (group, depth) over tokens and dimensions. With ``resid`` and what a writer
    writes: ``share`` (group, writer, layer), the mean over tokens of ⟨out, h[l+1]⟩ / ‖h[l+1]‖²; the shares of attention, MLP
    and of h[l] itself add up to 1, because h[l+1] is their sum.
    Memory: one block, and the norms of the run's tokens at one layer. Source: study 2. A group without tokens has NaN.
    """
    sites = [site for site in VECTOR_SITES if site in dataset]
    result = xr.Dataset({"tokens": ("group", [len(tokens) for tokens in groups.values()])}, {"group": list(groups)})
    if "resid" in sites:
        result = result.merge(_stream(dataset["resid"], groups))
    for site in sites:
        if site != "resid":
            result[f"norm_{site}"] = _in_groups(_statistics, _norms(dataset[site]), groups=groups, statistic=STATISTICS)
        result[f"norm_{site}"].attrs["long_name"] = f"Euclidean norm of {dataset[site].attrs.get('long_name', site)}"
    writers = {writer: site for writer, site in WRITERS.items() if "resid" in sites and site in sites}
    if writers:
        shares = [_share(dataset[site], dataset["resid"], groups) for site in writers.values()]
        result["share"] = xr.concat(shares, xr.Variable("writer", list(writers)))
        result["share"].attrs["long_name"] = "share of a block's output that the writer has put there: projection on the output"
    return result


def _stream(resid: xr.DataArray, groups: Groups) -> xr.Dataset:
    rows, width = token_spread(resid), resid.sizes["d_model"]
    norms = _in_groups(_statistics, rows["norm"], groups=groups, statistic=STATISTICS)
    std = _in_groups(_std, rows["mean"], rows["square"] / width, groups=groups)
    result = xr.Dataset({"norm_resid": norms, "std": std})
    result["std"].attrs["long_name"] = "standard deviation over tokens and dimensions"
    steps = _in_groups(_root_of_sum, token_steps(resid), groups=groups)
    result["step"] = steps.reindex(depth=result["depth"])  # no step leads to depth 0
    result["step"].attrs["long_name"] = "Frobenius norm of what block depth - 1 changes in the residual stream"
    return result


def _share(out: xr.DataArray, resid: xr.DataArray, groups: Groups) -> xr.DataArray:
    after = resid.isel(depth=slice(1, None)).rename(depth="layer").drop_vars("layer", errors="ignore")
    return _in_groups(_mean, by_token(_projection, ("share",), _bare(out), _bare(after))["share"], groups=groups)


def _norms(array: xr.DataArray) -> xr.DataArray:
    return by_token(_norm, ("norm",), _bare(array))["norm"]


def _bare(array: xr.DataArray) -> xr.DataArray:
    """Return ``array`` with the labels of layers alone."""
    return array.drop_vars([name for name in array.coords if name not in ("layer", "depth")])


def _norm(rows: Floats) -> Floats:
    norms: Floats = np.sqrt(np.vecdot(rows, rows))
    return norms[np.newaxis]


def _projection(out: Floats, after: Floats) -> Floats:
    with np.errstate(invalid="ignore"):  # a stream that was scaled to 0 is nobody's: NaN
        shares: Floats = np.vecdot(out, after) / np.vecdot(after, after)
    return shares[np.newaxis]


def _in_groups(reduce: Reduce, *rows: xr.DataArray, groups: Groups, **new: tuple[str, ...]) -> xr.DataArray:
    """Return ``reduce`` of each group's tokens of ``rows`` (…, token): (group, …, *new), a layer at a time."""
    whole = [row.chunk({"token": -1}) if row.chunks else row for row in rows]
    found: xr.DataArray = xr.apply_ufunc(
        _each_group,
        *whole,
        kwargs={"reduce": reduce, "tokens": list(groups.values()), "shape": tuple(map(len, new.values()))},
        input_core_dims=[["token"] for _ in whole],
        output_core_dims=[["group", *new]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"group": len(groups), **{dim: len(names) for dim, names in new.items()}}},
    )
    return found.transpose("group", ...).assign_coords(
        {"group": list(groups), **{dim: list(names) for dim, names in new.items()}}
    )


def _each_group(*rows: Floats, reduce: Reduce, tokens: Sequence[npt.NDArray[np.int64]], shape: tuple[int, ...]) -> Floats:
    places = rows[0].shape[:-1]
    found = np.full((len(tokens), *places, *shape), np.nan)
    for number, chosen in enumerate(tokens):
        if len(chosen):
            found[number] = reduce(*(row[..., chosen] for row in rows))
    return np.moveaxis(found, 0, len(places))  # (layer, …, group, *new)


def _statistics(norms: Floats) -> Floats:
    return np.stack([norms.mean(-1), *np.quantile(norms, QUANTILES, axis=-1)], axis=-1)


def _std(mean: Floats, variance: Floats) -> Floats:
    away: Floats = mean - mean.mean(-1, keepdims=True)
    return np.asarray(np.sqrt(variance.mean(-1) + (away * away).mean(-1)))  # within the tokens, and between them


def _root_of_sum(squares: Floats) -> Floats:
    return np.asarray(np.sqrt(squares.sum(-1)))


def _mean(shares: Floats) -> Floats:
    return np.asarray(shares.mean(-1))

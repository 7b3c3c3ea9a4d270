"""Studies 3 to 5 by group of tokens: what an edit does to some tokens more than to others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from actlas.analysis.data.group_names import ALL
from actlas.analysis.declaring.groups import GroupOptions
from actlas.analysis.groups.resampling import (
    FEWEST,
    Resampling,
    bounds,
    group_means,
    mean_draws,
    resampling,
    with_contrasts,
    with_intervals,
)
from actlas.analysis.groups.token_groups import TokenGroups
from actlas.analysis.kernels.streaming import Floats, by_token


def group_changes(
    baseline: xr.Dataset, variant: xr.Dataset, groups: TokenGroups, drawn: Resampling | None
) -> xr.Dataset:
    """Return ``group_relative_delta`` (group, depth) and ``group_nll_change`` (group); lazy.

    Of the groups beside that of all tokens; empty where there are none. The first is
    ‖h[d] − h′[d]‖_F / ‖h[d]‖_F over the tokens of a group. drawn: clusters that are drawn again for
    intervals.
    """
    apart = groups.apart
    if not len(apart):
        return xr.Dataset()
    squares = token_distances(baseline["resid"], variant["resid"])
    sizes = token_squares(baseline["resid"])
    depth = np.arange(baseline.sizes["depth"])
    changed, whole = (group_means(each, apart, skipna=False) for each in (squares, sizes))
    found = (changed / whole) ** 0.5
    found = found.assign_coords(depth=depth)
    result = xr.Dataset({"group_relative_delta": found})
    if drawn is None:
        result = with_contrasts(result, "group_relative_delta", groups.contrasts)
    else:
        parts = [mean_draws(each, apart, drawn) for each in (squares, sizes)]
        draws = ((parts[0] / parts[1]) ** 0.5).assign_coords(depth=depth)
        result = with_intervals(result, "group_relative_delta", draws, groups.contrasts)
    return result.merge(group_losses(baseline, variant, groups, drawn), join="exact")


def group_losses(
    baseline: xr.Dataset, variant: xr.Dataset, groups: TokenGroups, drawn: Resampling | None
) -> xr.Dataset:
    """Return ``group_nll_change`` (group) in nats: the mean over the tokens that are predicted.

    Tokens without a loss, the first of sentences, are left out. Empty without groups or losses.
    """
    apart = groups.apart
    if not len(apart) or "nll" not in baseline or "nll" not in variant:
        return xr.Dataset()
    change = loss_differences(baseline, variant).where(baseline["position"].values > 0)
    result = xr.Dataset({"group_nll_change": group_means(change, apart, skipna=True)})
    if drawn is None:
        return with_contrasts(result, "group_nll_change", groups.contrasts)
    draws = mean_draws(change, apart, drawn)
    return with_intervals(result, "group_nll_change", draws, groups.contrasts)


def with_loss_interval(
    result: xr.Dataset,
    baseline: xr.Dataset,
    variants: Sequence[xr.Dataset],
    dim: str,
    options: GroupOptions,
) -> xr.Dataset:
    """Return ``result`` with ``nll_change_interval`` (bound, dim); lazy.

    variants: along ``dim`` of ``result``, as many as there are. Whole clusters of tokens are drawn
    again; without a loss, resamples or a second cluster there is no interval.
    """
    tokens = np.flatnonzero(baseline["position"].values > 0)
    codes = pd.factorize(baseline[options.cluster].values[tokens], use_na_sentinel=False)[0]
    if "nll_change" not in result or not options.bootstrap or len(np.unique(codes)) < FEWEST:
        return result
    drawn = resampling({ALL: codes}, resamples=options.bootstrap, seed=options.seed)
    found = []
    for variant in variants:
        draws = mean_draws(loss_differences(baseline, variant), {ALL: tokens}, drawn)
        found.append(bounds(draws.isel(group=0, drop=True)))
    joined = xr.concat(found, dim).transpose("bound", dim)
    joined.attrs = {"long_name": "95 % percentile interval of bootstraps over clusters"}
    return result.assign(nll_change_interval=joined)


def loss_differences(baseline: xr.Dataset, variant: xr.Dataset) -> xr.DataArray:
    """Return the change of the loss of every token, (token,), float64, labels left out."""
    one, other = (_plain(each["nll"]).astype(np.float64) for each in (baseline, variant))
    return other - one


def token_squares(resid: xr.DataArray) -> xr.DataArray:
    """‖h[d]‖² of every token: (depth, token), float64."""
    return by_token(_squares, 1, _plain(resid)).isel(quantity=0)


def token_distances(one: xr.DataArray, other: xr.DataArray) -> xr.DataArray:
    """‖h[d] − h′[d]‖² of every token: (depth, token), float64."""
    return by_token(_distances, 1, _plain(one), _plain(other)).isel(quantity=0)


def _squares(rows: Floats) -> Floats:
    squares: Floats = np.vecdot(rows, rows)
    return squares[np.newaxis]


def _distances(one: Floats, other: Floats) -> Floats:
    return _squares(one - other)


def _plain(array: xr.DataArray) -> xr.DataArray:
    return array.drop_vars(list(array.coords))

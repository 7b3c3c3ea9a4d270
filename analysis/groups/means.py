"""Means of what tokens have, by group, with intervals over clusters and contrasts."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis.data.sentences import Indices
from actlas.analysis.groups.resampling import (
    FEWEST,
    Resampling,
    bounds,
    mean_draws,
    with_contrasts,
    with_intervals,
)
from actlas.analysis.groups.token_groups import TokenGroups


def means_by_group(values: xr.DataArray, groups: TokenGroups, tokens: Indices) -> xr.DataArray:
    """Return the mean of ``values`` (…, token) over the tokens of each group: (group, …).

    tokens: of the run, ascending, those that ``values`` has along ``token``. groups: of these
    alone, as ``TokenGroups.among`` makes them. NaN values are left out; a group without any has
    NaN. Lazy stays lazy.
    """
    plain = _plain(values)
    parts = []
    for places in _places(groups, tokens).values():
        chosen = plain.isel(token=places)
        known = chosen.notnull().sum("token")
        parts.append(chosen.sum("token") / known.where(known > 0))
    found: xr.DataArray = xr.concat(parts, xr.Variable("group", list(groups)))
    return found.transpose("group", *(dim for dim in values.dims if dim != "token"))


def with_means(
    result: xr.Dataset,
    name: str,
    values: xr.DataArray,
    groups: TokenGroups,
    tokens: Indices,
    drawn: Resampling | None,
) -> xr.Dataset:
    """Return ``result`` with the means of ``values`` by group as its variable ``name``.

    values, groups, tokens: as ``means_by_group`` takes them. drawn: clusters that are drawn again,
    None for no intervals; groups of fewer than two clusters have NaN, and there are none where all
    are such. The groups that are compared have ``<name>_contrast``; of pairs that is the mean of
    the differences within them, which are ``<name>_pair`` (contrast, pair, …).
    """
    result = _with_group_means(result, name, values, groups, tokens, drawn)
    return _with_pairs(result, name, values, groups, tokens, drawn) if groups.paired else result


def _with_group_means(
    result: xr.Dataset,
    name: str,
    values: xr.DataArray,
    groups: TokenGroups,
    tokens: Indices,
    drawn: Resampling | None,
) -> xr.Dataset:
    result = result.assign({name: means_by_group(values, groups, tokens)})
    result[name].attrs["long_name"] = f"mean over tokens of: {values.attrs.get('long_name', name)}"
    if drawn is None:
        return with_contrasts(result, name, groups.contrasts)
    clusters = {group: len(np.unique(each)) for group, each in groups.clusters.items()}
    places = _places(groups, tokens)
    enough = {group: at for group, at in places.items() if clusters[group] >= FEWEST}
    if not enough:
        return with_contrasts(result, name, groups.contrasts)
    draws = mean_draws(_plain(values), enough, drawn).reindex(group=list(groups))
    return with_intervals(result, name, draws, groups.contrasts)


def _with_pairs(
    result: xr.Dataset,
    name: str,
    values: xr.DataArray,
    groups: TokenGroups,
    tokens: Indices,
    drawn: Resampling | None,
) -> xr.Dataset:
    """Return ``result`` with the differences within pairs; NaN pairs are left out of means."""
    places, plain = _places(groups, tokens), _plain(values)
    parts, intervals = [], []
    for one, other in groups.contrasts:
        apart = plain.isel(token=places[one]) - plain.isel(token=places[other])
        parts.append(apart)
        if drawn is not None and len(groups.paired) >= FEWEST:
            draws = mean_draws(apart, {one: np.arange(len(groups.paired))}, drawn)
            intervals.append(bounds(draws.isel(group=0, drop=True)))
    names = xr.Variable("contrast", [f"{one}:{other}" for one, other in groups.contrasts])
    differences = xr.concat(parts, names).rename(token="pair")
    known = differences.notnull().sum("pair")
    found = {
        f"{name}_pair": differences.transpose("contrast", "pair", ...),
        f"{name}_contrast": differences.sum("pair") / known.where(known > 0),
    }
    if intervals:
        found[f"{name}_contrast_interval"] = xr.concat(intervals, names).transpose("bound", ...)
    said = f"{result[name].attrs['long_name']}: the first group minus the second"
    for key, array in found.items():
        before = result[key].attrs if key in result else {}
        array.attrs = dict(before) or {"long_name": f"{said}, in each pair"}
    kept = result.drop_vars([key for key in found if key in result])
    return kept.assign(found).assign_coords(pair=("pair", list(groups.paired)))


def _places(groups: TokenGroups, tokens: Indices) -> dict[str, Indices]:
    return {name: np.searchsorted(tokens, chosen) for name, chosen in groups.items()}


def _plain(values: xr.DataArray) -> xr.DataArray:
    return values.drop_vars([name for name, at in values.coords.items() if "token" in at.dims])

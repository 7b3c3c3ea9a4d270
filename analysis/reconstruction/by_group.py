"""Study 2 by group of tokens: how much a layer changes some tokens more than others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actlas.analysis.declaring.group_tables import contrast_table
from actlas.analysis.declaring.groups import GroupOptions
from actlas.analysis.declaring.shown import Table, cell

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.groups.token_groups import TokenGroups


def with_correlations(
    result: xr.Dataset, resid: xr.DataArray, groups: TokenGroups, options: GroupOptions
) -> xr.Dataset:
    """Return ``result`` with the correlation of depths of each group, and how they differ."""
    from actlas.analysis.groups.resampling import with_contrasts, with_intervals
    from actlas.analysis.reconstruction.laminar import group_correlation

    apart_from_all = groups.apart
    if not len(apart_from_all):
        return result
    drawn = options.resampling(apart_from_all)
    found = group_correlation(resid, apart_from_all, drawn)
    whole = result.merge(found.drop_vars("draws", errors="ignore"), join="exact")
    if drawn is None:
        return with_contrasts(whole, "group_correlation", groups.contrasts)
    return with_intervals(whole, "group_correlation", found["draws"], groups.contrasts)


def correlation_tables(result: xr.Dataset) -> list[Table]:
    """Return the correlation of depths by group, and its differences, where there are any."""
    if "group_correlation" not in result:
        return []
    r = result["group_correlation"].transpose("pair", "group")
    names = [str(name) for name in r["group"].values]
    rows = []
    for pair, numbers in zip(r["pair"].values, r.values, strict=True):
        rows.append((cell(pair, "d"), *(cell(number, ".4f") for number in numbers)))
    table = Table.of("Correlation of depths by group, nothing masked", ("pair", *names), rows)
    what = "Difference of the correlation between groups"
    return [table, *contrast_table(result, "group_correlation", what)]

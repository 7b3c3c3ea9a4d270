"""Study 2, the tables of sizes."""

from __future__ import annotations

from collections.abc import Iterable

import xarray as xr

from actlas.analysis.data.group_names import FIRST
from actlas.analysis.data.sites import head_dim
from actlas.analysis.declaring.group_tables import whole_group
from actlas.analysis.declaring.layers import spread_out
from actlas.analysis.declaring.shown import Cell, Table, cell
from actlas.analysis.norms.per_token import RMS, per_token

SHOWN = 9  # depths in a terminal
PLACES = ("dimension", "depth", "sentence", "position")


def site_table(result: xr.Dataset, name: str) -> Table:
    """Return the norms of one site, a row a layer or depth and group of tokens."""
    heads = head_dim(result[name])
    norms = result[name].mean(heads) if heads else result[name]
    axis = next((dim for dim in ("layer", "depth") if dim in norms.dims), None)
    rows = []
    for place in range(norms.sizes[axis] if axis else 1):
        here = norms.isel({axis: place}) if axis else norms
        where = (cell(norms[axis].values[place], "d"),) if axis else ()
        for group in norms["group"].values:
            numbers = map(cell, here.sel(group=group).values)
            rows.append((*where, cell(str(group)), *numbers))
    header = (*((axis,) if axis else ()), "tokens", *map(str, norms["statistic"].values))
    of_heads = f", mean over {result.sizes[heads]} heads" if heads else ""
    name_of = name.removeprefix("norm_")
    caption = f"Norm of a token's {name_of}{of_heads}{exactness(result, [name])}"
    return Table.of(caption, header, rows)


def exactness(result: xr.Dataset, names: Iterable[str]) -> str:
    """Return what ends a caption where quantiles of ``names`` are of bins, and not exact."""
    error = max((result[name].attrs.get("quantile_error", 0.0) for name in names), default=0.0)
    return f"; quartiles and medians to {error:.2g} of themselves" if error else ""


def stream_table(result: xr.Dataset) -> Table:
    """Return the residual stream by depth: norms, steps, spread, and who writes it."""
    writers = [str(name) for name in result["share"]["writer"].values] if "share" in result else []
    whole, rows = whole_group(result), []
    later, first = result.sel(group=whole), FIRST in result["group"].values
    step = per_token(later, "step")
    for place in spread_out(result.sizes["depth"], SHOWN):
        norms, depth = result["norm_resid"].isel(depth=place), int(result["depth"][place])
        numbers: list[Cell] = [
            cell(depth, "d"),
            *([cell(norms.sel(group=FIRST, statistic="median"))] if first else []),
            *map(cell, norms.sel(group=whole, statistic=["median", "largest"])),
            cell(step.isel(depth=place)),
            cell(later["std"].isel(depth=place)),
        ]
        for writer in writers:
            shares = later["share"].sel(writer=writer)
            written = depth - 1 in shares["layer"]
            numbers.append(cell(shares.sel(layer=depth - 1) if written else float("nan")))
        rows.append(numbers)
    names = ("median", "largest", "step", "std")
    header = ("depth", *(("first median",) if first else ()), *names)
    caption = (
        f"Residual stream: norm of a token, {'median of first tokens, ' if first else ''}median "
        f"and largest of {whole}; of these also step, ‖h[d] − h[d−1]‖, its {RMS}, "
        f"and std of values{exactness(result, ['norm_resid'])}"
    )
    caption += "; share of the stream that each part wrote" if writers else ""
    return Table.of(caption, (*header, *(f"{name} share" for name in writers)), rows)


def sites_table(result: xr.Dataset) -> Table:
    """Return the norms of each site, a row a group of tokens."""
    rows = []
    names = [str(name) for name in result if str(name).startswith("norm_")]
    for name in names:
        places = [dim for dim in result[name].dims if dim not in ("group", "statistic")]
        norms = result[name].mean(places)
        for group in result["group"].values:
            site = cell(name.removeprefix("norm_"))
            rows.append((site, cell(str(group)), *map(cell, norms.sel(group=group))))
    header = ("site", "group", *map(str, result["statistic"].values))
    caption = f"Norm of a token's vector, mean over layers and heads{exactness(result, names)}"
    return Table.of(caption, header, rows)


def outlier_tables(result: xr.Dataset) -> list[Table]:
    """Return the largest values of the residual stream, where they were asked for."""
    if "outlier_value" not in result:
        return []
    rows = []
    for part in result["part"].values:
        for rank in range(result.sizes["rank"]):
            found = result.sel(part=part).isel(rank=rank)
            token = int(found["outlier_token"])
            if token < 0:  # the group has fewer
                continue
            places = [cell(found[f"outlier_{place}"], "d") for place in PLACES]
            text = cell(repr(str(found["outlier_text"].values)))
            rows.append((cell(str(part)), *places, text, cell(found["outlier_value"])))
    header = ("of", *PLACES, "token", "value")
    return [Table.of("Largest values of the residual stream, each dimension once", header, rows)]

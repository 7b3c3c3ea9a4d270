"""Study 2, charts of sizes: the residual stream, every site, groups of tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from actlas.analysis import charts
from actlas.analysis.data.group_names import FIRST
from actlas.analysis.data.sites import head_dim
from actlas.analysis.norms.compute import WRITERS
from actlas.analysis.norms.per_token import LABELS, per_token

STATISTICS = {"lower quartile": "low", "median": "median", "upper quartile": "high"}
STATISTICS |= {"largest": "largest", "mean": "mean"}


def stream_chart(result: xr.Dataset) -> charts.Chart:
    """The residual stream by depth: norms, what is written into it, steps and spread, shares."""
    series = charts.group_series(result)
    moved = {"step": per_token(result, "step"), "std": result["std"]}
    stream = _statistics(result["norm_resid"]) | moved
    data = {"depths": _records(result, stream)}
    views = [
        _norms(
            stream, series, "depth", "norm", "norm of the residual stream, median and quartiles"
        ),
        _line(data, "depths", series, "depth", "step", LABELS["step"]),
        _line(data, "depths", series, "depth", "std", "standard deviation of h[d]"),
    ]
    written = {writer: f"norm_{site}" for writer, site in WRITERS.items()}
    there = {writer: name for writer, name in written.items() if name in result}
    if there:
        medians = [result[name].sel(statistic="median", drop=True) for name in there.values()]
        found = {"median": xr.concat(medians, xr.Variable("writer", list(there)))}
        if "share" in result:
            found["share"] = result["share"]
        data["layers"] = _records(result, found)
        views.append(_written(data, series, "median", "norm of what a layer writes"))
        if "share" in result:
            views.append(_written(data, series, "share", "share of the layer's output"))
    spec = charts.chart(
        "The residual stream by depth: norms, steps, spread, and what layers write into it",
        data["depths"],
        charts.beside(views, columns=2),
        series=series,
    )
    return spec | {"datasets": data, "data": {"name": "depths"}}


def site_chart(result: xr.Dataset) -> charts.Chart:
    """Norms of the vectors of every site by layer or depth, a panel each; of heads, the mean."""
    series, arrays = charts.group_series(result), {}
    for name in map(str, result):
        if name.startswith("norm_") and (place := _place(result[name])):
            arrays[name.removeprefix("norm_")] = _deep(result[name]).rename({place: "place"})
    joined = xr.concat(list(arrays.values()), xr.Variable("site", list(arrays)), join="outer")
    found = _statistics(joined)
    view = _norms(found, series, "place", "norm", x_title="layer; of resid, depth")
    panels = charts.facet("site", {**view, "height": 140}, columns=4, names=list(arrays))
    panels["resolve"]["scale"] = {"y": "independent"}
    return charts.chart(
        "Norms of a token's vector at every site, by layer",
        _records(result, found),
        panels,
        series=series,
    )


def group_chart(result: xr.Dataset, site: str) -> charts.Chart:
    """Mean norm of a site by layer or depth for every group but first tokens, with intervals."""
    groups = [str(name) for name in result["group"].values if str(name) != FIRST]
    series = charts.group_series(result, groups)
    here = result.sel(group=groups)
    norms = _deep(here[f"norm_{site}"])
    found, place = _statistics(norms), _place(norms)
    if f"mean_norm_{site}_interval" in here:
        ends = _deep(here[f"mean_norm_{site}_interval"])
        found |= {"from": ends.sel(bound="lower", drop=True)}
        found |= {"to": ends.sel(bound="upper", drop=True)}
    bounds = ("from", "to") if "from" in found else None
    hover = charts.tips(
        *(("group", "tokens"), (f"#{place}", place), ("#mean", "mean norm")),
        *((("#from", "95 % from"), ("#to", "to")) if bounds else ()),
        *(("#low", "lower quartile"), ("#high", "upper quartile")),
    )
    shown = charts.Lines(
        *(place, "mean", series, place, f"norm of {site}", hover),
        interval=bounds,
        band=("low", "high"),
        **_scale(found["mean"]),
    )
    view = {"height": 280, **charts.lines(shown)}
    records = charts.Records(found, labels={"group": charts.group_labels(result)})
    return charts.chart(f"Norms of {site} by group of tokens", records, view, series=series)


def _norms(
    found: dict[str, xr.DataArray],
    series: charts.Series,
    place: str,
    name: str,
    title: str = "",
    *,
    x_title: str = "",
) -> charts.Chart:
    hover = charts.tips(
        *(("group", "tokens"), (f"#{place}", x_title or place), ("#median", "median norm")),
        *(("#low", "lower quartile"), ("#high", "upper quartile"), ("#largest", "largest")),
    )
    shown = charts.Lines(
        *(place, "median", series, x_title or place, name, hover),
        band=("low", "high"),
        title=title,
        **_scale(found["median"]),
    )
    return charts.lines(shown)


def _line(
    data: dict[str, charts.Records], rows: str, series: charts.Series, x: str, y: str, title: str
) -> charts.Chart:
    hover = charts.tips(("group", "tokens"), (f"#{x}", x), (f"#{y}", y))
    values = [row[y] for row in data[rows]]
    scale = charts.scale_of(values)
    shown = charts.Lines(x, y, series, x, y, hover, title=title, **scale)
    return {"data": {"name": rows}, **charts.lines(shown)}


def _written(
    data: dict[str, charts.Records], series: charts.Series, y: str, title: str
) -> charts.Chart:
    hover = charts.tips(
        *(("group", "tokens"), ("writer", "writer"), ("#layer", "layer"), (f"#{y}", title))
    )
    scaled: dict[str, Any] = {}
    if y == "median":
        scaled = charts.scale_of([row[y] for row in data["layers"]])
    dashes = f"{title}; solid: attention, dashed: MLP"
    shown = charts.Lines(
        *("layer", y, series, "layer", "norm" if y == "median" else y, hover),
        dash="writer",
        title=dashes,
        **scaled,
    )
    return {"data": {"name": "layers"}, **charts.lines(shown)}


def _statistics(norms: xr.DataArray) -> dict[str, xr.DataArray]:
    known = [str(name) for name in norms["statistic"].values]
    return {
        short: norms.sel(statistic=name, drop=True)
        for name, short in STATISTICS.items()
        if name in known
    }


def _deep(norms: xr.DataArray) -> xr.DataArray:
    heads = head_dim(norms)
    return norms.mean(heads) if heads else norms


def _place(norms: xr.DataArray) -> str:
    return next((dim for dim in ("layer", "depth") if dim in norms.dims), "")


def _scale(values: xr.DataArray) -> dict[str, Any]:
    flat = np.asarray(values.values).ravel()
    return charts.scale_of([float(value) for value in flat if np.isfinite(value)])


def _records(result: xr.Dataset, found: dict[str, xr.DataArray]) -> charts.Records:
    return charts.Records(found, labels={"group": charts.group_labels(result)})

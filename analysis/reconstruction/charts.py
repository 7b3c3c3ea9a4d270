"""Study 2, the chart of the sum that a layer is, and of consecutive depths."""

from __future__ import annotations

import xarray as xr

from actlas.analysis import charts

LEAST = 1e-12  # errors below are drawn there: none at all has no logarithm
MASKED = {"laminar_correlation": "depths, masked", "unmasked_correlation": "depths, not masked"}


def sums_chart(result: xr.Dataset) -> charts.Chart:
    """Relative error of each layer's sum, and the correlation of depths with and without a mask."""
    data, views, names = {}, [], list(MASKED.values())
    if "sum" in result.dims:
        labels = {str(name): f"sum: {name}" for name in result["sum"].values}
        found = {name: result[name] for name in ("relative_error", "max_abs_error", "rounding")}
        found["drawn"] = found["relative_error"].clip(min=LEAST)
        lines = {name: array.rename(sum="line") for name, array in found.items()}
        data["sums"], names = (
            charts.Records(lines, labels={"line": labels}),
            [*labels.values(), *names],
        )
    series = charts.Series("line", tuple(names), "lines")
    if "sums" in data:
        views.append({"data": {"name": "sums"}, **_errors(series)})
    pairs = result[list(MASKED)].to_array("line").assign_coords(line=list(MASKED.values()))
    data["pairs"] = charts.Records({"r": pairs, "left_out": result["excluded_share"]})
    views.append({"data": {"name": "pairs"}, **_correlations(series)})
    spec = charts.chart(
        "Errors of the sums by layer, and correlation of consecutive depths",
        data["pairs"],
        charts.beside(views, columns=2),
        series=series,
    )
    return spec | {"datasets": data, "data": {"name": "pairs"}}


def _errors(series: charts.Series) -> charts.Chart:
    hover = charts.tips(
        *(("line", "sum"), ("#layer", "layer"), ("#relative_error", "relative error")),
        *(("#max_abs_error", "largest error"), ("#rounding", "of what rounding may do")),
    )
    shown = charts.Lines(
        *("layer", "drawn", series, "layer", "relative error of the sum", hover),
        scale="log",
        zero=False,
    )
    return charts.lines(shown)


def _correlations(series: charts.Series) -> charts.Chart:
    hover = charts.tips(
        *(("line", "entries"), ("#pair", "depth"), ("#r", "r with the next depth")),
        ("#left_out", "share left out"),
    )
    titled = ("depth d", "Pearson's r of depth d and d + 1")
    return charts.lines(charts.Lines("pair", "r", series, *titled, hover, zero=False))

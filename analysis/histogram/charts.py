"""The chart of histograms: values of one layer or depth at a time, a line a group."""

from __future__ import annotations

import xarray as xr

from actlas.analysis import charts


def value_chart(result: xr.Dataset, site: str) -> charts.Chart:
    """Density of each group over the values, logarithmic, at the place that the reader chooses."""
    place, series = str(result["mean"].dims[1]), charts.group_series(result)
    edges = result["bin_edge"]
    centres = (edges.isel(edge=slice(None, -1)) + edges.isel(edge=slice(1, None)).values) / 2
    density = result["density"]
    found = {
        "density": density.where(density > 0),
        "value": centres.rename(edge="bin").drop_vars("bin_edge", errors="ignore"),
        "mean": result["mean"],
        "std": result["std"],
    }
    found = {name: array.drop_vars("bin_edge", errors="ignore") for name, array in found.items()}
    records = charts.Records(found, labels={"group": charts.group_labels(result)})
    hover = charts.tips(
        *(("group", "tokens"), (f"#{place}", place), ("#value", f"value of {site}")),
        *(("#density", "density"), ("#mean", "mean of the group"), ("#std", "its std")),
    )
    view = _density(place, site, series, hover)
    numbers = [int(each) for each in result[place].values]
    return charts.chart(
        f"How the values of {site} are distributed at one {place}, by group of tokens",
        records,
        view,
        params=[charts.choice("at", numbers, place)],
        series=series,
    )


def _density(
    place: str, site: str, series: charts.Series, hover: list[charts.Chart]
) -> charts.Chart:
    """Return a panel of steps, a line a group."""
    return {
        "transform": [
            {"filter": f"datum.{place} == at"},
            {"filter": "isValid(datum.density)"},
        ],
        "height": 320,
        "mark": {"type": "line", "interpolate": "step", "tooltip": True, "point": {"size": 12}},
        "encoding": {
            "x": {
                **{"field": "value", "type": "quantitative", "title": f"value of {site}"},
                "scale": {"zero": False},
            },
            "y": {
                **{"field": "density", "type": "quantitative", "title": "density"},
                "scale": {"type": "log"},
                "axis": {"format": ".1~g", "labelOverlap": True},
            },
            "color": series.colour,
            "tooltip": hover,
        },
    }

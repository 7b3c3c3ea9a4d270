"""The chart of histograms: values of one layer or depth at a time, a line a group."""

from __future__ import annotations

import xarray as xr

from actlas.analysis import charts
from actlas.analysis.data.group_looks import SERIES_COLOURS, Look


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


def distance_chart(result: xr.Dataset, site: str) -> charts.Chart:
    """How far groups lie apart by layer or depth, beside what chance gives; a panel a contrast."""
    name, place = "group_distance", str(result["group_distance"].dims[-1])
    found = charts.bounded(result, name)
    found |= {"chance": result[f"{name}_chance"], "upper": result[f"{name}_chance_upper"]}
    labels: dict[str, str] = {}
    for contrast in map(str, result["contrast"].values):
        text = charts.plain(contrast.replace(":", " and "))
        labels[contrast] = f"{text} ({len(labels)})" if text in labels.values() else text
    names = tuple(labels.values())
    series = charts.Series(
        "contrast", names, "groups", looks=(Look(SERIES_COLOURS[0]),) * len(names)
    )
    hover = charts.tips(
        *(("contrast", "groups"), (f"#{place}", place), (f"#{name}", "distance")),
        *(*charts.ends(found), ("#chance", "by chance"), ("#upper", "95 % of chance below")),
    )
    title = f"Wasserstein-1 distance of {site}"
    shown = charts.Lines(
        *(place, name, series, place, title, hover), band=charts.interval(found), level="chance"
    )
    view = charts.lines(shown)
    upper = {"y": {**view["layer"][-1]["encoding"]["y"], "field": "upper"}}
    dashed = {"mark": {"type": "line", "style": "guide"}, "encoding": upper}
    view = {**view, "layer": [dashed, *view["layer"]]}
    panels = charts.facet("contrast", view, columns=2, names=list(names))
    return charts.chart(
        "Distance between the values of two groups; dotted: by chance, dashed: its 95 % quantile",
        charts.Records(found, labels={"contrast": labels}),
        panels if len(names) > 1 else {"height": 280, **view},
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

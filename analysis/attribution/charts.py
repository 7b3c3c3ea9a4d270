"""Charts of attribution: what layers and heads add."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from actlas.analysis import charts
from actlas.analysis.attribution.neuron_tables import MOST, ranked_neurons


def part_chart(result: xr.Dataset) -> charts.Chart:
    """What attention and MLP add by layer, with intervals, a panel for each group."""
    found = charts.bounded(result, "mean_attribution")
    parts = tuple(map(str, result["part"].values))
    series, groups = charts.Series("part", parts, "part"), charts.group_labels(result)
    hover = charts.tips(
        *(("part", "part"), ("#layer", "layer"), ("#mean_attribution", "adds to the difference")),
        *(*charts.ends(found), ("group", "tokens")),
    )
    shown = charts.Lines(
        *("layer", "mean_attribution", series, "layer", "adds to the logit difference", hover),
        interval=charts.interval(found),
        dots=True,
    )
    view = charts.with_zero(charts.lines(shown))
    several = len(groups) > 1
    panels = charts.facet("group", view, columns=2, names=list(groups.values()))
    return charts.chart(
        f"What attention and MLP of each layer add to {result.attrs.get('asked', 'the answer')}",
        charts.Records(found, labels={"group": groups}),
        panels if several else {"height": 280, **view},
        series=series,
    )


def head_chart(result: xr.Dataset) -> charts.Chart:
    """What each head adds, a map of layers and heads for each group."""
    found, groups = charts.bounded(result, "mean_head"), charts.group_labels(result)
    hover = charts.tips(
        *(("#layer", "layer"), ("#head", "head"), ("#mean_head", "adds"), *charts.ends(found)),
        ("group", "tokens"),
    )
    numbers = np.asarray(result["mean_head"].values)
    most = float(np.nanmax(np.abs(numbers), initial=0.0)) or 1.0
    shown = charts.Map(
        *("head", "layer", "mean_head", "head", "layer", "adds to the logit difference"),
        *(result.sizes["layer"], hover, most),
    )
    view = charts.heat_map(shown)
    panels = charts.facet("group", view, columns=2, names=list(groups.values()))
    return charts.chart(
        f"What each head adds to {result.attrs.get('asked', 'the answer')}",
        charts.Records(found, labels={"group": groups}),
        panels if len(groups) > 1 else view,
    )


def neuron_chart(result: xr.Dataset) -> charts.Chart:
    """The neurons that add most, whatever their layer, a panel for each group."""
    asked = result["group"].values[result["tokens"].values > 0]
    groups, labels = [str(group) for group in asked], charts.group_labels(result)
    rows: list[dict[str, Any]] = []
    bounded = "mean_neuron_interval" in result
    for group in groups:
        here = result.sel(group=group)
        ranked = ranked_neurons(here["mean_neuron"], result["neuron"])[:MOST]
        for rank, each in enumerate(ranked):
            row: dict[str, Any] = {"group": labels[group], "rank": rank, "neuron": each.name}
            row |= {"adds": charts.number(each.mean)}
            if bounded:
                ends = here["mean_neuron_interval"].sel(layer=each.layer).isel(choice=each.choice)
                for name, end in (("low", "lower"), ("high", "upper")):
                    row[name] = charts.number(float(ends.sel(bound=end)))
            rows.append(row)
    bounds = (("#low", "95 % from"), ("#high", "to")) if bounded else ()
    hover = charts.tips(("neuron", "neuron"), ("#adds", "adds"), *bounds, ("group", "tokens"))
    shown = charts.Dots(
        *("adds", "neuron", "adds to the logit difference", min(MOST, len(rows))),
        *({"field": "rank", "op": "min", "order": "ascending"}, hover),
        interval=("low", "high") if bounded else None,
    )
    view, several = charts.dots(shown), len(groups) > 1
    names = [labels[group] for group in groups]
    panels = charts.facet("group", view, columns=2, names=names)
    panels["resolve"]["scale"] = {"y": "independent"}
    return charts.chart(
        f"The neurons that add most to {result.attrs.get('asked', 'the answer')}",
        rows,
        panels if several else view,
    )

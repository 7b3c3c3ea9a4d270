"""The chart of triangulation: attribution against ablation, a point a head."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis import charts


def heads_chart(result: xr.Dataset) -> charts.Chart:
    """What each removed head adds, against what its removal costs, a panel for each group."""
    found = charts.bounded(result, "ablation") | {"attribution": result["attribution"]}
    found["attribution"] = found["attribution"].where(found["ablation"].notnull())
    kinds = [str(kind) for kind in result["kind"].values]
    for number, kind in enumerate(kinds):
        excess = result["excess"].sel(kind=kind, drop=True)
        found[f"excess{number}"] = excess.where(found["ablation"].notnull().any("group"))
    hover = charts.tips(
        *(("#layer", "layer"), ("#head", "head"), ("#attribution", "adds")),
        *(("#ablation", "its removal costs"), *charts.ends(found)),
        *((f"#excess{number}", f"{kind}, beyond uniform") for number, kind in enumerate(kinds)),
        ("group", "tokens"),
    )
    groups = charts.group_labels(result)
    view, several = _points(result, hover, "low" in found), len(groups) > 1
    panels = charts.facet("group", view, columns=2, names=list(groups.values()))
    return charts.chart(
        "What each head adds against what its removal costs",
        charts.Records(found, labels={"group": groups}),
        {**panels, "spec": {**panels["spec"], "height": 320}}
        if several
        else {"height": 380, **view},
    )


def _points(result: xr.Dataset, hover: list[charts.Chart], bounded: bool) -> charts.Chart:
    numbers = [np.asarray(result[name].values).ravel() for name in ("attribution", "ablation")]
    both = np.concatenate(numbers)
    low, high = (float(end(both[np.isfinite(both)], initial=0.0)) for end in (np.min, np.max))
    line = {
        "data": {"values": [{"at": charts.number(low)}, {"at": charts.number(high)}]},
        "mark": {"type": "line", "style": "guide"},
        "encoding": {
            "x": {"field": "at", "type": "quantitative"},
            "y": {"field": "at", "type": "quantitative"},
        },
    }
    x = {"field": "attribution", "type": "quantitative", "title": "adds to the logit difference"}
    y = {"field": "ablation", "type": "quantitative", "title": "its removal costs"}
    colour = {"field": "layer", "type": "quantitative", "scale": {"scheme": "viridis"}}
    colour["legend"] = {"title": "layer", "orient": "bottom", "format": "d", "tickMinStep": 1}
    encoding = {"x": x, "y": y, "color": colour}
    points = {
        "mark": {"type": "point", "filled": True, "size": 60, "opacity": 0.9},
        "encoding": {**encoding, "tooltip": hover},
    }
    rules = {
        "mark": {"type": "rule", "opacity": 0.5},
        "encoding": {**encoding, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
    }
    return {"layer": [line, *([rules] if bounded else []), points]}

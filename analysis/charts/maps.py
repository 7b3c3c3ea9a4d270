"""Maps: a cell for each pair of places, its colour a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actlas.analysis.charts.spec import Chart

CELL = 15  # height of a cell, in pixels
LOWEST, HIGHEST = 90, 560  # heights of a map


@dataclass(frozen=True)
class Map:
    """What a map shows: fields of columns, rows (the first at the bottom) and colours.

    rows: how many there are. most: of a scale that goes from minus to plus this, None for one
    from 0. least: of a logarithmic scale, where it has one.
    """

    x: str
    y: str
    value: str
    x_title: str
    y_title: str
    title: str
    rows: int
    tips: Sequence[Chart]
    most: float | None = None
    least: float | None = None
    domain: tuple[float, float] | None = None
    where: str = ""
    height: int | None = None


def heat_map(shown: Map) -> Chart:
    """Return a map as a view; a cell tells its numbers on hover."""
    axis = {
        "labelOverlap": True,
        "labelSeparation": 8,
        "labelAngle": 0,
        "grid": False,
        "ticks": False,
        "domain": False,
    }
    height = shown.height or min(HIGHEST, max(LOWEST, CELL * shown.rows))
    legend = {"title": shown.title, "format": ".2~g", "orient": "bottom", "gradientLength": 180}
    view: Chart = {
        "mark": {"type": "rect"},
        "height": height,
        "encoding": {
            "x": {"field": shown.x, "type": "ordinal", "title": shown.x_title, "axis": dict(axis)},
            "y": {
                **{"field": shown.y, "type": "ordinal", "title": shown.y_title, "axis": axis},
                "sort": "descending",
            },
            "color": {
                **{"field": shown.value, "type": "quantitative", "legend": legend},
                "scale": _scale(shown),
            },
            "tooltip": list(shown.tips),
        },
    }
    if shown.where:
        view["transform"] = [{"filter": shown.where}]
    return view


def _scale(shown: Map) -> Chart:
    if shown.most is not None:
        return {"scheme": "redblue", "domain": [-shown.most, shown.most], "domainMid": 0}
    if shown.domain is not None:
        kind = {"type": "log", "clamp": True} if shown.least is not None else {}
        return {"scheme": "viridis", "domain": list(shown.domain), **kind}
    return {"scheme": "blues", "domainMin": 0}

"""Dots with intervals in rows that are named: a number each, from left to right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from actlas.analysis.charts.lines import DOT
from actlas.analysis.charts.spec import Chart, Series
from actlas.analysis.data.group_looks import SERIES_COLOURS

ROW, LOWEST = 26, 90  # pixels of a row, and of the fewest together
LONGEST = 220  # pixels of the name of a row


@dataclass(frozen=True)
class Dots:
    """What rows of dots show.

    x, y: fields. order: how rows follow each other, as ``sort`` of Vega-Lite. rows: how many there
    are. series: told apart by colour, side by side in a row. scale: as ``scale_of`` gives it.
    interval: fields of lower and upper ends.
    """

    x: str
    y: str
    x_title: str
    rows: int
    order: Any
    tips: Sequence[Chart]
    series: Series | None = None
    interval: tuple[str, str] | None = None
    scale: Mapping[str, Any] = field(default_factory=lambda: {"scale": "linear"})


def dots(shown: Dots) -> Chart:
    """Return a panel of dots in rows; a dot tells its numbers on hover, 0 has a line."""
    axis = {"grid": True, "labelLimit": LONGEST, "ticks": False, "domain": False}
    y = {"field": shown.y, "type": "nominal", "sort": shown.order, "title": None, "axis": axis}
    apart: Chart = {"y": y, "color": {"value": SERIES_COLOURS[1]}}
    if shown.series:
        names = list(shown.series.names)
        beside = {"field": shown.series.field, "type": "nominal", "scale": {"domain": names}}
        apart |= {"color": shown.series.colour, "yOffset": beside}
    layers: list[Chart] = []
    if shown.scale["scale"] != "log":
        zero = {"x": {**_x(shown), "datum": 0}, "color": {"value": "#888888"}}
        zero["x"].pop("field")
        layers.append({"mark": {"type": "rule", "style": "guide"}, "encoding": zero})
    if shown.interval:
        low, high = shown.interval
        ends = {"x": {**_x(shown), "field": low}, "x2": {"field": high}}
        layers.append({"mark": {"type": "rule"}, "encoding": apart | ends})
    points = {"type": "point", "filled": True, "opacity": 1, "size": DOT}
    hovered = {"x": _x(shown), "tooltip": list(shown.tips)}
    layers.append({"mark": points, "encoding": apart | hovered})
    return {"height": max(LOWEST, ROW * shown.rows), "layer": layers}


def _x(shown: Dots) -> Chart:
    scale: Chart = {"type": shown.scale["scale"]}
    if "constant" in shown.scale:
        scale["constant"] = shown.scale["constant"]
    axis: Chart = {"format": ".3~g", "labelOverlap": True, "tickCount": 6}
    if shown.scale.get("ticks"):
        axis["values"] = list(shown.scale["ticks"])
    kind = {"type": "quantitative", "scale": scale, "title": shown.x_title, "axis": axis}
    return {"field": shown.x, **kind}

"""Lines over layers or depths, with bands and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actlas.analysis.charts.spec import Chart, Series

WIDE = 30  # largest over smallest value from which on an axis is logarithmic


@dataclass(frozen=True)
class Lines:
    """What a panel of lines shows.

    x, y: fields. series: what lines are told apart by. tips: as ``spec.tips`` gives them.
    interval, band: fields of lower and upper ends. scale: ``linear``, ``log`` or ``symlog``.
    zero: whether the axis begins there. where: a condition on rows, of names that the code knows.
    dash: a field that styles tell apart. stepped: drawn as steps rather than from point to point.
    """

    x: str
    y: str
    series: Series
    x_title: str
    y_title: str
    tips: Sequence[Chart]
    interval: tuple[str, str] | None = None
    band: tuple[str, str] | None = None
    scale: str = "linear"
    constant: float = 1.0
    zero: bool = True
    domain: tuple[float, float] | None = None
    where: str = ""
    dash: str = ""
    title: str = ""
    level: str = ""


def lines(shown: Lines) -> Chart:
    """Return a panel of lines; the nearest point tells its numbers."""
    layers: list[Chart] = []
    colour = {"color": shown.series.colour}
    apart: Chart = {"detail": {"field": shown.series.field, "type": "nominal"}}
    if shown.dash:
        apart["strokeDash"] = {"field": shown.dash, "type": "nominal", "legend": None}
    if shown.band:
        ends = _ends(shown, shown.band)
        layers.append({"mark": {"type": "area", "opacity": 0.15}, "encoding": ends | apart})
    if shown.level:
        level = {"y": {"field": shown.level, "type": "quantitative"}, **apart}
        layers.append({"mark": {"type": "line", "strokeDash": [2, 3]}, "encoding": level})
    if shown.interval:
        layers.append({"mark": {"type": "rule"}, "encoding": _ends(shown, shown.interval)})
    layers.append({"mark": {"type": "line"}, "encoding": {"y": _y(shown)} | apart})
    layers.append({"encoding": {"y": _y(shown), "tooltip": list(shown.tips)}, **_points()})
    view: Chart = {"encoding": {"x": _x(shown), **colour}, "layer": layers}
    if shown.where:
        view["transform"] = [{"filter": shown.where}]
    if shown.title:
        view["title"] = shown.title
    return view


def with_zero(view: Chart) -> Chart:
    """Return a panel of lines with a line at 0 behind what is told on hover."""
    *rest, points = view["layer"]
    field = points["encoding"]["y"]
    y = {name: value for name, value in field.items() if name != "field"}
    across = {"x": {"value": 0}, "x2": {"value": "width"}, "y": {**y, "datum": 0}}
    across["color"] = {"value": "#888888"}
    zero = {"mark": {"type": "rule", "style": "guide"}, "encoding": across}
    return {**view, "layer": [*rest, zero, points]}


def scale_of(values: Sequence[float | None]) -> dict[str, Any]:
    """Return ``scale`` and ``constant`` of Lines for numbers that may differ by orders."""
    sizes = sorted(abs(value) for value in values if value)
    if not sizes or sizes[-1] <= WIDE * sizes[0]:
        return {"scale": "linear"}
    if any(value is not None and value <= 0 for value in values):
        return {"scale": "symlog", "constant": sizes[len(sizes) // 10]}
    return {"scale": "log", "zero": False}


def _x(shown: Lines) -> Chart:
    axis = {"tickMinStep": 1, "format": "d", "labelOverlap": True}
    scale = {"zero": False, "nice": False, "padding": 8}
    titled = {"title": shown.x_title}
    return {"field": shown.x, "type": "quantitative", "axis": axis, "scale": scale, **titled}


def _y(shown: Lines, field: str = "") -> Chart:
    scale: Chart = {"type": shown.scale, "zero": shown.zero and shown.scale == "linear"}
    if shown.scale == "symlog":
        scale["constant"] = shown.constant
    if shown.domain:
        scale["domain"] = list(shown.domain)
    axis = {"format": ".3~g", "labelOverlap": True, "tickCount": 6}
    title = shown.y_title or None
    kind = {"type": "quantitative", "scale": scale, "title": title, "axis": axis}
    return {"field": field or shown.y, **kind}


def _ends(shown: Lines, ends: tuple[str, str]) -> Chart:
    return {"y": _y(shown, ends[0]), "y2": {"field": ends[1]}}


def _points() -> Chart:
    near = {"type": "point", "on": "pointerover", "nearest": True, "clear": "pointerout"}
    grown = {"condition": {"param": "near", "empty": False, "value": 90}, "value": 18}
    return {
        "params": [{"name": "near", "select": near}],
        "mark": {"type": "point", "filled": True, "opacity": 1, "size": grown["value"]},
    }

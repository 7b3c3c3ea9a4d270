"""Lines over layers or depths, with bands and intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actlas.analysis.charts.spec import Chart, Series

POINT, DOT = 18, 70  # areas of points, in square pixels
MOST_POWERS = 5  # of ten on either side of 0 of an axis
WIDE = 30  # largest over smallest value from which on an axis is logarithmic


@dataclass(frozen=True)
class Lines:
    """What a panel of lines shows.

    x, y: fields. series: what lines are told apart by. tips: as ``spec.tips`` gives them.
    interval, band: fields of lower and upper ends. scale: ``linear``, ``log`` or ``symlog``.
    ticks: of y, where its scale does not find them. zero: whether the axis begins there. where: a
    condition on rows, of names that the code knows. dash: a field that styles tell apart. level: a
    field of a dotted line. dots: no line, and points that are large. x_scale: of any number,
    ``linear`` or ``log``, where x counts no layers.
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
    ticks: tuple[float, ...] = ()
    domain: tuple[float, float] | None = None
    where: str = ""
    dash: str = ""
    title: str = ""
    level: str = ""
    dots: bool = False
    x_scale: str = ""


def lines(shown: Lines) -> Chart:
    """Return a panel of lines; the nearest point tells its numbers."""
    layers: list[Chart] = []
    colour = {"color": shown.series.colour}
    apart: Chart = {"detail": {"field": shown.series.field, "type": "nominal"}}
    styles = shown.series.dash
    if shown.dash:
        styles = {"strokeDash": {"field": shown.dash, "type": "nominal", "legend": None}}
    if shown.band:
        ends = _ends(shown, shown.band)
        layers.append({"mark": {"type": "area", "opacity": 0.15}, "encoding": ends | apart})
    if shown.level:
        level = {"y": {"field": shown.level, "type": "quantitative"}, **apart}
        layers.append({"mark": {"type": "line", "strokeDash": [2, 3]}, "encoding": level})
    if shown.interval:
        layers.append({"mark": {"type": "rule"}, "encoding": _ends(shown, shown.interval)})
    if not shown.dots:
        layers.append({"mark": {"type": "line"}, "encoding": {"y": _y(shown)} | apart | styles})
    points = _points(DOT if shown.dots else POINT)
    layers.append({"encoding": {"y": _y(shown), "tooltip": list(shown.tips)}, **points})
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
    """Return what Lines takes of its scale for numbers that may differ by orders."""
    sizes = sorted(abs(value) for value in values if value)
    if not sizes or sizes[-1] <= WIDE * sizes[0]:
        return {"scale": "linear"}
    if any(value is not None and value <= 0 for value in values):
        constant = sizes[len(sizes) // 10]
        return {"scale": "symlog", "constant": constant, "ticks": _powers(values, constant)}
    return {"scale": "log", "zero": False}


def _powers(values: Sequence[float | None], least: float) -> tuple[float, ...]:
    """Return 0 and some powers of ten from about ``least`` on, on each side that has numbers."""
    ticks, lowest = [0.0], math.ceil(math.log10(least))  # below, an axis is linear
    for sign in (-1, 1):
        most = max(sign * value for value in values if value is not None)
        highest = math.floor(math.log10(most)) if most > 0 else lowest - 1
        powers = range(lowest, highest + 1)
        step = -(-len(powers) // MOST_POWERS) or 1
        ticks += [sign * 10.0**power for power in powers[::-step]]
    return tuple(sorted(ticks))


def _x(shown: Lines) -> Chart:
    axis: Chart = {"tickMinStep": 1, "format": "d", "labelOverlap": True}
    scale: Chart = {"zero": False, "nice": False, "padding": 8}
    if shown.x_scale:
        axis, scale["type"] = {"format": ".3~g", "labelOverlap": True}, shown.x_scale
    titled = {"title": shown.x_title}
    return {"field": shown.x, "type": "quantitative", "axis": axis, "scale": scale, **titled}


def _y(shown: Lines, field: str = "") -> Chart:
    scale: Chart = {"type": shown.scale, "zero": shown.zero and shown.scale == "linear"}
    if shown.scale == "symlog":
        scale["constant"] = shown.constant
    if shown.domain:
        scale["domain"] = list(shown.domain)
    axis: Chart = {"format": ".3~g", "labelOverlap": True, "tickCount": 6}
    if shown.ticks:
        axis["values"] = list(shown.ticks)
    title = shown.y_title or None
    kind = {"type": "quantitative", "scale": scale, "title": title, "axis": axis}
    return {"field": field or shown.y, **kind}


def _ends(shown: Lines, ends: tuple[str, str]) -> Chart:
    return {"y": _y(shown, ends[0]), "y2": {"field": ends[1]}}


def _points(size: int) -> Chart:
    near = {"type": "point", "on": "pointerover", "nearest": True, "clear": "pointerout"}
    return {
        "params": [{"name": "near", "select": near}],
        "mark": {"type": "point", "filled": True, "opacity": 1, "size": size},
    }

"""A whole specification: data, choices, series, and the two ways to put panels side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actlas.analysis.charts.records import plain
from actlas.analysis.data.group_looks import SERIES_COLOURS, Look

Chart = dict[str, Any]  # a Vega-Lite specification
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
DASHES = {"-": [], "--": [5, 3], ":": [1.5, 2.5], "-.": [6, 2.5, 1.5, 2.5]}
MOST_SERIES = 8  # with a legend; more have a scale of colours and are chosen by name
FORMAT = ".4~g"
WIDTH, HEIGHT = 320, 200  # of a panel, in pixels, where nothing else decides
CONFIG: Chart = {
    "range": {"category": list(SERIES_COLOURS)},
    "view": {"stroke": None},
    "axis": {"grid": True, "gridOpacity": 0.5, "labelOverlap": True},
    "style": {"guide": {"stroke": "#666666", "strokeDash": [4, 3]}, "word": {"fill": "#1b1e23"}},
}


@dataclass(frozen=True)
class Series:
    """What lines and areas are told apart by: a field, and its values in order.

    number: a field that numbers them, for the scale of colours of many. title: of legend or scale.
    looks: of each name, where colours of their own order are not to be taken; a page has others of
    the same colours in the dark.
    """

    field: str
    names: tuple[str, ...]
    title: str
    number: str = ""
    looks: tuple[Look, ...] = ()

    @property
    def many(self) -> bool:
        """Whether there are too many for a legend."""
        return len(self.names) > MOST_SERIES and bool(self.number)

    @property
    def colour(self) -> Chart:
        """The encoding by colour."""
        if self.many:
            scale = {"scheme": "viridis"}
            legend = {"title": self.title, "orient": "bottom", "direction": "horizontal"}
            return {
                "field": self.number,
                "type": "quantitative",
                "scale": scale,
                "legend": legend,
            }
        scaled: Chart = {"domain": list(self.names)}
        if self.looks:
            scaled["range"] = [look.colour for look in self.looks]
        return {"field": self.field, "type": "nominal", "scale": scaled, "title": self.title}

    @property
    def dash(self) -> Chart:
        """The encoding by style of lines, empty where all are solid."""
        styles = [DASHES[look.line] for look in self.looks]
        if self.many or not any(styles):
            return {}
        scale = {"domain": list(self.names), "range": [style or [1, 0] for style in styles]}
        field = {"field": self.field, "type": "nominal", "legend": None, "scale": scale}
        return {"strokeDash": field}

    @property
    def params(self) -> list[Chart]:
        """What a reader may set: series that are hidden, or the one that is shown."""
        if not self.many:
            return [{"name": "hidden", "value": []}]
        options = [None, *self.names]
        labels = ["all", *self.names]
        bind = {"input": "select", "options": options, "labels": labels, "name": f"{self.title} "}
        return [{"name": "only", "value": None, "bind": bind}]

    @property
    def meta(self) -> Chart:
        """What a page makes a legend of, with a button for each series."""
        own: Chart = {}
        if self.looks:
            own["colours"] = [look.colour for look in self.looks]
            own["dashed"] = [look.line != "-" for look in self.looks]
        return {"title": self.title, "names": list(self.names), **own}

    @property
    def shown(self) -> Chart:
        """The transform that leaves hidden series out."""
        field = f"datum['{self.field}']"
        if self.many:
            return {"filter": f"only === null || {field} === only"}
        return {"filter": f"indexof(hidden, {field}) < 0"}


def chart(
    title: str,
    data: Sequence[Chart],
    view: Mapping[str, Any],
    *,
    params: Iterable[Chart] = (),
    series: Series | None = None,
) -> Chart:
    """Return the specification of one chart.

    title: what a reader who does not see it is told. view: a view, or panels by ``facet`` or
    ``beside``. params: choices; those of ``series`` are added.
    """
    known = series.params if series else []
    meta: Chart = {}
    if series and not series.many:
        meta["series"] = series.meta
    made: Chart = {
        "$schema": SCHEMA,
        "description": plain(title, 300),
        "config": CONFIG,
        "datasets": {"rows": data},
        "data": {"name": "rows"},
        "params": [*params, *known],
        "usermeta": {"actlas": meta},
        **view,
    }
    if series:
        made["transform"] = [*made.get("transform", []), series.shown]
    return made


def choice(
    name: str, values: Sequence[int | str], label: str, first: int | str | None = None
) -> Chart:
    """Return a parameter that the reader sets: a slider over whole numbers in a row, else a list.

    first: its value to begin with, the first of ``values`` where None.
    """
    value = values[0] if first is None else first
    whole = [each for each in values if not isinstance(each, str)]
    if whole == list(values) and whole == list(range(whole[0], whole[0] + len(whole))):
        bind: Chart = {"input": "range", "min": whole[0], "max": whole[-1], "step": 1}
    else:
        bind = {"input": "select", "options": list(values)}
    return {"name": name, "value": value, "bind": {**bind, "name": f"{label} "}}


def facet(field: str, view: Mapping[str, Any], *, columns: int, names: Sequence[str]) -> Chart:
    """Return a panel for each value of ``field``, at most ``columns`` side by side."""
    by = {"field": field, "type": "nominal", "sort": list(names), "title": None}
    panel = {"width": WIDTH, "height": HEIGHT, **view}
    # each panel has its axis of x: in a last row that is not full, others would have none
    apart = {"axis": {"x": "independent"}}
    return {"facet": by, "columns": columns, "spec": panel, "resolve": apart}


def beside(views: Sequence[Mapping[str, Any]], *, columns: int) -> Chart:
    """Return different panels, at most ``columns`` side by side."""
    sized = [{"width": WIDTH, "height": HEIGHT, **view} for view in views]
    return {"concat": sized, "columns": columns, "spacing": 30}


def tips(*fields: tuple[str, str]) -> list[Chart]:
    """Return what is shown on hover: (field, what it is called); names of counts and places whole.

    A field that begins with ``#`` is a number.
    """
    found = []
    for field, title in fields:
        if field.startswith("#"):
            kind = {"type": "quantitative", "format": FORMAT}
            found.append({"field": field[1:], "title": title, **kind})
        else:
            found.append({"field": field, "title": title, "type": "nominal"})
    return found

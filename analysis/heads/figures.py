"""Figures of heads: maps of layer and head."""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actlas.analysis.heads.compute import SCORES
from actlas.analysis.plots.marks import balanced, heat, layer_rows
from actlas.analysis.plots.sheet import Room, Sheet, tidy_bar
from actlas.analysis.plots.style import house_style, shown

MOST_GROUPS = 4  # of queries and of keys in a figure
COLUMNS = 4
UNITS = {"entropy": "share", "distance": "tokens"}  # of what is no weight


@house_style()
def score_maps(result: xr.Dataset) -> Figure:
    """Excess of every score over uniform attention, a panel each.

    result: of ``actlas.analysis.heads.compute.head_scores``, computed.
    """
    kinds = [str(kind) for kind in result["kind"].values]
    room = Room(width=2.55, height=1.75, across=0.8, down=0.62, right=0.6)
    sheet = Sheet(-(-len(kinds) // COLUMNS), COLUMNS, room)
    for panel, kind in zip(sheet.each(len(kinds)), kinds, strict=True):
        _map(panel, result["excess"].sel(kind=kind), UNITS.get(kind, "weight"))
        panel.set_title(f"{kind}: {SCORES[kind]}", fontsize=7.5)
    _outer_labels(sheet, len(kinds))
    return sheet.done("Scores of heads beyond uniform attention")


def head_panel(panel: Axes, result: xr.Dataset, kind: str) -> None:
    """Excess of one score over uniform attention, a map of layers and heads."""
    _map(panel, result["excess"].sel(kind=kind), f"{UNITS.get(kind, 'weight')} beyond uniform")
    panel.set_title(f"{kind}: {SCORES[kind]}")
    panel.set_xlabel("head")
    panel.set_ylabel("layer")


@house_style()
def group_maps(result: xr.Dataset) -> Figure:
    """Weight that queries of one group put on keys of another, beyond uniform attention."""
    names = [str(name) for name in result["from"].values][:MOST_GROUPS]
    # a first token sees itself alone: nothing is beyond uniform attention there
    starts = [name for name in names if abs(result["attention_excess"].sel({"from": name})).max()]
    rows = starts or names
    room = Room(width=2.3, height=1.6, across=0.3, down=0.35)
    sheet = Sheet(len(rows), len(names), room, sharex=True, sharey=True)
    drawn = result["attention_excess"].sel({"from": rows, "to": names})
    colours = balanced(drawn.values)
    for row, start in zip(sheet.panels, rows, strict=True):
        for panel, end in zip(row, names, strict=True):
            values = drawn.sel({"from": start, "to": end}).transpose("layer", "head").values
            image = heat(panel, values, **colours)
            panel.set_title(f"{shown(start, 18)} → {shown(end, 18)}")
    layer_rows(sheet.flat[0], result["layer"].values)
    sheet.flat[0].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    _outer_labels(sheet, len(sheet.flat))
    sheet.bar(image, "weight beyond uniform attention")
    return sheet.done("Weight between groups of tokens (queries → keys), beyond uniform attention")


def _outer_labels(sheet: Sheet, count: int) -> None:
    for row in sheet.panels:
        row[0].set_ylabel("layer")
    for panel in sheet.flat[max(0, count - sheet.shape[1]) : count]:
        panel.set_xlabel("head")


def _map(panel: Axes, values: xr.DataArray, label: str) -> None:
    numbers = values.transpose("layer", "head").values
    image = heat(panel, numbers, **balanced(numbers))
    panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    layer_rows(panel, values["layer"].values)
    figure = panel.get_figure()
    if figure is not None:
        bar = tidy_bar(figure.colorbar(image, ax=panel, fraction=0.06, pad=0.03))
        bar.set_label(label)
        bar.ax.yaxis.set_major_locator(MaxNLocator(4))

"""The figure of triangulation: attribution against ablation, a point a head."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actlas.analysis.attribution.by_group import first_asked
from actlas.analysis.plots.marks import bars, entry, legend_in, swatches
from actlas.analysis.plots.sheet import Room, Sheet
from actlas.analysis.plots.style import GREY, INTERVAL, SERIES_COLOURS, house_style, shown

NAMED = 6  # heads that are named beside their points
MOST_BARS = 60  # heads that have intervals, the largest
MOST_POINTS = 500  # beyond, files of vectors get a picture of them
SMALL = 0.2  # of the largest, below which a head has no name
MOST_GROUPS = 4  # of a figure


@house_style()
def attribution_against_ablation(result: xr.Dataset) -> Figure:
    """What each removed head adds, against what its removal costs, a panel for each group.

    result: of ``actlas.analysis.triangulation.compute.triangulation``, computed.
    """
    groups = [str(group) for group in result["group"].values][:MOST_GROUPS]
    several = len(groups) > 1
    room = Room(3.0, 3.0, panel_title=several)
    sheet = Sheet(1, len(groups), room, sharex=True, sharey=True)
    for panel, group in zip(sheet.flat, groups, strict=True):
        _points(panel, result.sel(group=group))
        panel.set_title(shown(group, 40) if several else "")
        panel.set_ylabel("")
    sheet.flat[0].set_ylabel("its removal costs (ablation)")
    sheet.legend(_legend(result))
    return sheet.done("Heads: what they add to the logit difference, what their removal costs")


def triangulation_panel(panel: Axes, result: xr.Dataset) -> None:
    """What each removed head adds, against what its removal costs, of the first group asked."""
    _points(panel, result.sel(group=first_asked(result)))
    legend_in(panel, _legend(result))


def _legend(result: xr.Dataset) -> list[Artist]:
    equal = entry("adds as much as it costs", GREY, linewidth=0.8)
    return [equal, *swatches(INTERVAL if "ablation_interval" in result else "")]


def _points(panel: Axes, result: xr.Dataset) -> None:
    adds = result["attribution"].transpose("layer", "head").values
    costs = result["ablation"].transpose("layer", "head").values
    known, colour = np.isfinite(costs) & np.isfinite(adds), SERIES_COLOURS[0]
    size = np.where(known, np.fmax(np.abs(adds), np.abs(costs)), -1)
    largest = np.unravel_index(np.argsort(-size, axis=None)[:MOST_BARS], size.shape)
    if "ablation_interval" in result:
        bounds = result["ablation_interval"].transpose("bound", "layer", "head").values
        chosen = [bound[largest] for bound in bounds]
        bars(panel, adds[largest], costs[largest], chosen, colour)
    many = bool(known.sum() > MOST_POINTS)
    style: dict[str, Any] = {"marker": "o", "linestyle": "none", "rasterized": many}
    panel.plot(adds[known], costs[known], color=colour, **style)
    panel.axline((0, 0), slope=1, color=GREY, linewidth=0.8)
    for layer, head in zip(*(places[:NAMED].tolist() for places in largest), strict=True):
        if size[layer, head] > SMALL * size.max():
            name = f"L{int(result['layer'][layer])}H{head}"
            at = (adds[layer, head], costs[layer, head])
            panel.annotate(name, at, fontsize="small", xytext=(4, 3), textcoords="offset points")
    panel.margins(0.12)
    panel.set_xlabel("adds (attribution)")
    panel.set_ylabel("its removal costs (ablation)")

"""The figure of triangulation: attribution against ablation, a point a head."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actlas.analysis.attribution.by_group import first_asked
from actlas.analysis.plots.style import SERIES_COLOURS, shown

NAMED = 6  # heads that are named beside their points
SMALL = 0.05  # of the largest, below which a head has no name
MOST_GROUPS = 4  # of a figure


def attribution_against_ablation(result: xr.Dataset) -> Figure:
    """What each removed head adds, against what its removal costs, a panel for each group.

    result: of ``actlas.analysis.triangulation.compute.triangulation``, computed.
    """
    groups = [str(group) for group in result["group"].values][:MOST_GROUPS]
    figure = Figure(figsize=(0.6 + 4.8 * len(groups), 5.0), layout="constrained")
    panels: np.ndarray = figure.subplots(1, len(groups), sharex=True, sharey=True, squeeze=False)[0]
    for panel, group in zip(panels, groups, strict=True):
        _points(panel, result.sel(group=group))
        panel.set_title(shown(group) if len(groups) > 1 else "", fontsize=10)
    figure.suptitle("Heads: what they add, what they cost", fontsize=11)
    return figure


def triangulation_panel(panel: Axes, result: xr.Dataset) -> None:
    """What each removed head adds, against what its removal costs, of the first group asked."""
    _points(panel, result.sel(group=first_asked(result)))


def _points(panel: Axes, result: xr.Dataset) -> None:
    adds = result["attribution"].transpose("layer", "head").values
    costs = result["ablation"].transpose("layer", "head").values
    known = np.isfinite(costs) & np.isfinite(adds)
    panel.scatter(adds[known], costs[known], s=18, color=SERIES_COLOURS[0])
    panel.axline((0, 0), slope=1, color="0.6", linewidth=0.8)
    size = np.where(known, np.fmax(np.abs(adds), np.abs(costs)), -1)
    for place in np.argsort(-size, axis=None)[:NAMED].tolist():
        layer, head = divmod(place, adds.shape[1])
        if size[layer, head] > SMALL * size.max():
            name = f"L{int(result['layer'][layer])}H{head}"
            at = (adds[layer, head], costs[layer, head])
            panel.annotate(name, at, fontsize=8, xytext=(4, 3), textcoords="offset points")
    panel.margins(0.12)
    panel.set_xlabel("adds to the logit difference (attribution)")
    panel.set_ylabel("its removal costs (ablation)")

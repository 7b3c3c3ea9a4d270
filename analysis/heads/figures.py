"""Figures of heads: maps of layer and head."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actlas.analysis.heads.compute import SCORES
from actlas.analysis.plots.style import label_layers, shown

MOST_GROUPS = 4  # of queries and of keys in a figure


def score_maps(result: xr.Dataset) -> Figure:
    """Excess of every score over uniform attention, a panel each.

    result: of ``actlas.analysis.heads.compute.head_scores``, computed.
    """
    kinds = [str(kind) for kind in result["kind"].values]
    figure = Figure(figsize=(13, 5.6), layout="constrained")
    panels: list[Axes] = list(figure.subplots(2, 4).ravel())
    for panel, kind in zip(panels, kinds, strict=False):
        _map(panel, result["excess"].sel(kind=kind), f"{kind}: {SCORES[kind]}")
    for panel in panels[len(kinds) :]:
        panel.set_axis_off()
    figure.suptitle("Scores of heads beyond uniform attention", fontsize=11)
    return figure


def head_panel(panel: Axes, result: xr.Dataset, kind: str) -> None:
    """Excess of one score over uniform attention, a map of layers and heads."""
    _map(
        panel, result["excess"].sel(kind=kind), f"{kind}: {SCORES[kind]}, beyond uniform attention"
    )


def group_maps(result: xr.Dataset) -> Figure:
    """Weight that queries of one group put on keys of another, beyond uniform attention."""
    names = [str(name) for name in result["from"].values][:MOST_GROUPS]
    # a first token sees itself alone: nothing is beyond uniform attention there
    starts = [name for name in names if abs(result["attention_excess"].sel({"from": name})).max()]
    rows = starts or names
    figure = Figure(figsize=(1 + 3.0 * len(names), 0.8 + 2.4 * len(rows)), layout="constrained")
    panels: np.ndarray = figure.subplots(len(rows), len(names), squeeze=False)
    for row, start in zip(panels, rows, strict=True):
        for panel, end in zip(row, names, strict=True):
            values = result["attention_excess"].sel({"from": start, "to": end})
            _map(panel, values, f"{shown(start, 20)} → {shown(end, 20)}")
    figure.suptitle("Weight between groups beyond uniform attention", fontsize=11)
    return figure


def _map(panel: Axes, values: xr.DataArray, title: str) -> None:
    numbers = values.transpose("layer", "head").values
    finite = numbers[np.isfinite(numbers)]
    most = float(np.abs(finite).max(initial=0.0)) or 1.0
    image = panel.imshow(numbers, aspect="auto", origin="lower", cmap="RdBu", vmin=-most, vmax=most)
    panel.set_title(title, fontsize=7, loc="left")
    panel.set_xlabel("head", fontsize=8)
    panel.set_ylabel("layer", fontsize=8)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    label_layers(panel, values["layer"].values)
    panel.figure.colorbar(image, ax=panel, shrink=0.8)

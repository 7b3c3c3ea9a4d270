"""Figures of attribution: bars by layer, and maps of heads."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actlas.analysis.plots.style import SERIES_COLOURS

WIDTH = 0.8  # of the bars of a layer
MOST_NUMBERS = 200  # of a map: of a larger one the colours alone are shown


def attribution_bars(result: xr.Dataset, title: str) -> Figure:
    """Mean of each part by layer, with its band.

    result: of the study, computed: ``mean_attribution`` (part, layer), ``attribution_bounds``.
    """
    means = result["mean_attribution"].transpose("part", "layer")
    bounds = result["attribution_bounds"].transpose("bound", "part", "layer")
    layers, parts = result["layer"].values, [str(part) for part in means["part"].values]
    figure = Figure(figsize=(max(6.0, 1.5 + 0.28 * len(layers)), 3.8), layout="constrained")
    panel = figure.subplots()
    width = WIDTH / len(parts)
    for number, part in enumerate(parts):
        places = layers + (number - (len(parts) - 1) / 2) * width
        values = means.sel(part=part).values
        low, high = bounds.sel(part=part).values
        bars = np.nan_to_num(np.stack([values - low, high - values])).clip(0)
        panel.bar(
            places,
            values,
            width,
            yerr=bars,
            color=SERIES_COLOURS[number],
            error_kw={"elinewidth": 0.8},
            label=part,
        )
    panel.axhline(0, color="0.4", linewidth=0.8)
    panel.set_xlabel("layer")
    panel.set_ylabel("added to the logit difference")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.legend(frameon=False, ncols=len(parts))
    figure.suptitle(title, fontsize=11)
    return figure


def head_map(means: xr.DataArray, title: str, label: str = "added") -> Figure:
    """Draw numbers of heads, (layer, head), blue above 0 and red below."""
    values = means.transpose("layer", "head").values
    layers, heads = values.shape
    figure = Figure(
        figsize=(2.2 + 0.5 * min(heads, 24), 1.4 + 0.36 * min(layers, 24)), layout="constrained"
    )
    panel = figure.subplots()
    most = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    image = panel.imshow(values, aspect="auto", origin="lower", cmap="RdBu", vmin=-most, vmax=most)
    if values.size <= MOST_NUMBERS:
        for (layer, head), value in np.ndenumerate(values):
            colour = "white" if abs(value) > 0.6 * most else "black"
            panel.text(
                head, layer, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour
            )
    panel.set_xlabel("head")
    panel.set_ylabel("layer")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    figure.colorbar(image, ax=panel, label=label)
    figure.suptitle(title, fontsize=11)
    return figure

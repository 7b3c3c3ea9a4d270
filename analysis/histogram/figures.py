"""The figure of the histograms: a panel a layer, a line a group."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actlas.analysis.declaring.layers import spread_out
from actlas.analysis.plots.style import SERIES_COLOURS, shown

PANELS, COLUMNS = 12, 4
STYLES = ("-", "--", ":", "-.")


def histograms(result: xr.Dataset, site: str) -> Figure:
    """Density of each group over the values, logarithmic, at most about PANELS layers or depths.

    result: of ``actlas.analysis.histogram.compute.value_histogram``.
    """
    place = str(result["mean"].dims[1])
    places = spread_out(result.sizes[place], PANELS)
    rows = -(-len(places) // COLUMNS)
    figure = Figure(figsize=(13, 1.0 + 2.5 * rows), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False)
    for panel in panels.flat[len(places) :]:
        panel.set_axis_off()
    for panel, at in zip(panels.flat, places, strict=False):
        histogram_panel(panel, result.isel({place: at}), place, site)
    for row in panels:
        row[0].set_ylabel("density")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(f"How the values of {site} are distributed, by group of tokens", fontsize=11)
    return figure


def histogram_panel(panel: Axes, here: xr.Dataset, place: str, site: str) -> None:
    """Draw the groups of one layer or depth; ``here``: the result at that place."""
    edges = here["bin_edge"].values
    for number, group in enumerate(here["group"].values):
        density = here["density"].sel(group=group).values
        panel.stairs(
            np.where(density > 0, density, np.nan),
            edges,
            color=SERIES_COLOURS[number % len(SERIES_COLOURS)],
            linestyle=STYLES[number // len(SERIES_COLOURS) % len(STYLES)],
            label=shown(str(group)),
        )
    panel.set_yscale("log")
    panel.set_title(f"{place} {int(here[place])}", fontsize=10)
    panel.set_xlabel(f"value of {site}")

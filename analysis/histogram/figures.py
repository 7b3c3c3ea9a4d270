"""The figures of the histograms: a panel a layer, a line a group; how far groups lie apart."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actlas.analysis.plots.marks import band, entry, layer_axis, line, log_axis, swatches
from actlas.analysis.plots.sheet import Room, Sheet
from actlas.analysis.plots.style import (
    GREY,
    INTERVAL,
    MOST_GROUPS,
    Look,
    a_few,
    group_looks,
    house_style,
    shown,
)

PANELS, COLUMNS = 8, 4


@house_style()
def histograms(result: xr.Dataset, site: str) -> Figure:
    """Density of each group over the values, logarithmic, at most about PANELS layers or depths.

    result: of ``actlas.analysis.histogram.compute.value_histogram``.
    """
    place = str(result["mean"].dims[1])
    places = a_few(result.sizes[place], PANELS)
    columns = min(COLUMNS, len(places))
    room = Room(width=2.1, height=1.5, across=0.45, down=0.42, left=0.75)
    sheet = Sheet(-(-len(places) // columns), columns, room)
    for panel, at in zip(sheet.each(len(places)), places, strict=True):
        histogram_panel(panel, result.isel({place: at}), place, site)
        panel.set_xlabel("")
        panel.set_ylabel("")
    for panel in sheet.flat[max(0, len(places) - columns) : len(places)]:
        panel.set_xlabel(f"value of {site}")
    for row in sheet.panels:
        row[0].set_ylabel("density")
    sheet.legend(sheet.flat[0].get_legend_handles_labels()[0])
    return sheet.done(f"How the values of {site} are distributed, by group of tokens")


def histogram_panel(panel: Axes, here: xr.Dataset, place: str, site: str) -> None:
    """Draw the groups of one layer or depth; ``here``: the result at that place."""
    edges = here["bin_edge"].values
    for group, look in group_looks(here["group"].values[:MOST_GROUPS]).items():
        density = here["density"].sel(group=group).values
        panel.stairs(
            np.where(density > 0, density, np.nan),
            edges,
            color=look.colour,
            linestyle=look.line,
            label=shown(group),
        )
    log_axis(panel.yaxis)
    panel.set_title(f"{place} {int(here[place])}")
    panel.set_xlabel(f"value of {site}")
    panel.set_ylabel("density")


@house_style()
def group_distances(result: xr.Dataset, site: str) -> Figure:
    """How far groups lie apart at each layer or depth, beside what chance gives; by contrast.

    result: with ``group_distance`` (contrast, place), its chance and the interval.
    """
    name = "group_distance"
    place = str(result[name].dims[-1])
    contrasts = [str(each) for each in result["contrast"].values][:MOST_GROUPS]
    columns = min(COLUMNS, len(contrasts))
    room = Room(width=2.6 if len(contrasts) > 1 else 4.4, height=1.9)
    sheet = Sheet(-(-len(contrasts) // columns), columns, room, sharex=True, sharey=True)
    for panel, contrast in zip(sheet.each(len(contrasts)), contrasts, strict=True):
        here, places = result.sel(contrast=contrast), result[place].values
        line(panel, places, here[name], Look("#0072B2"), "distance")
        if f"{name}_interval" in here:
            bounds = here[f"{name}_interval"].transpose("bound", place).values
            band(panel, places, bounds, "#0072B2")
        panel.plot(places, here[f"{name}_chance"], color=GREY, linestyle=":")
        panel.plot(places, here[f"{name}_chance_upper"], color=GREY, linestyle="--")
        panel.set_title(shown(contrast.replace(":", " and "), 40))
        panel.set_ylim(bottom=0)
        layer_axis(panel, place)
    for row in sheet.panels:
        row[0].set_ylabel(f"Wasserstein-1 distance of {site}")
    shaded = INTERVAL if f"{name}_interval" in result else ""
    upper = entry("95 % of chance", GREY, linestyle="--")
    named = sheet.flat[0].get_legend_handles_labels()[0]
    sheet.legend([*named, *swatches(shaded=shaded, dotted="chance: groups permuted"), upper])
    return sheet.done("How far apart the values of two groups lie")

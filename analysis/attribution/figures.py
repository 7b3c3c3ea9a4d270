"""Figures of attribution: what parts add by layer, maps of heads, neurons that add most."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actlas.analysis.attribution.by_group import first_asked
from actlas.analysis.attribution.neuron_tables import MOST, ranked_neurons
from actlas.analysis.plots.marks import (
    balanced,
    dots,
    heat,
    layer_axis,
    layer_rows,
    legend_in,
    swatches,
    zero_line,
)
from actlas.analysis.plots.sheet import Room, Sheet
from actlas.analysis.plots.style import GREY, INTERVAL, SERIES_COLOURS, Look, house_style, shown

SPREAD = 0.5  # of the distance of two layers, over which the dots of parts lie side by side
MOST_NUMBERS = 200  # of a map: of a larger one the colours alone are shown
MOST_GROUPS = 4  # of a figure


@house_style()
def attribution_profile(result: xr.Dataset, title: str) -> Figure:
    """Mean of each part by layer with its interval, a panel for each group.

    result: of the study, computed: ``mean_attribution`` (group, part, layer).
    """
    groups = [str(group) for group in result["group"].values][:MOST_GROUPS]
    width, several = min(9.0, max(5.0, 0.14 * result.sizes["layer"])), len(groups) > 1
    room = Room(width=width, height=1.9, down=0.3, panel_title=several)
    sheet = Sheet(len(groups), 1, room, sharex=True, sharey=True)
    for panel, group in zip(sheet.flat, groups, strict=True):
        _parts(panel, result, group)
        panel.set_xlabel("")
        if several:
            panel.set_title(_titled(result, group))
    layer_axis(sheet.flat[-1], "layer")
    sheet.legend([*sheet.flat[0].get_legend_handles_labels()[0], *_swatches(result)])
    return sheet.done(title)


def attribution_panel(panel: Axes, result: xr.Dataset) -> None:
    """Mean of each part by layer with its interval, of the first group."""
    group = first_asked(result)
    _parts(panel, result, group)
    panel.set_title(_titled(result, group))
    legend_in(panel, _swatches(result))


def _titled(result: xr.Dataset, group: str) -> str:
    return f"{shown(group)}, {int(result['tokens'].sel(group=group))} asked"


def _swatches(result: xr.Dataset) -> list[Artist]:
    return swatches(INTERVAL if "mean_attribution_interval" in result else "")


def _parts(panel: Axes, result: xr.Dataset, group: str) -> None:
    zero_line(panel)
    means, name = result["mean_attribution"].sel(group=group), "mean_attribution_interval"
    layers, parts = result["layer"].values, [str(part) for part in means["part"].values]
    for number, part in enumerate(parts):
        places = layers + (number - (len(parts) - 1) / 2) * SPREAD / len(parts)
        bounds = None
        if name in result:
            bounds = result[name].sel(group=group, part=part).transpose("bound", "layer").values
        dots(panel, places, means.sel(part=part).values, Look(SERIES_COLOURS[number]), bounds, part)
    panel.set_ylabel("adds to the difference")
    layer_axis(panel, "layer")


@house_style()
def head_maps(
    means: xr.DataArray, title: str, label: str = "adds to the logit difference"
) -> Figure:
    """Draw numbers of heads, (group, layer, head), blue above 0 and red below."""
    groups = [str(group) for group in means["group"].values][:MOST_GROUPS]
    layers, heads = means.sizes["layer"], means.sizes["head"]
    several = len(groups) > 1
    width, height = 0.6 + 0.36 * min(heads, 14), 0.5 + 0.2 * min(layers, 22)
    room = Room(width, height, panel_title=several)
    sheet = Sheet(1, len(groups), room, sharex=True, sharey=True)
    colours = balanced(means.sel(group=groups).values)
    for panel, group in zip(sheet.flat, groups, strict=True):
        values = means.sel(group=group).transpose("layer", "head").values
        image = heat(panel, values, **colours)
        _numbers(panel, values, colours["vmax"])
        panel.set_xlabel("head")
        panel.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        panel.set_title(shown(group, 40) if several else "")
    sheet.flat[0].set_ylabel("layer")
    layer_rows(sheet.flat[0], means["layer"].values)
    sheet.bar(image, label)
    return sheet.done(title)


def _numbers(panel: Axes, values: np.ndarray, most: float) -> None:
    """Write the numbers into the cells of a small map."""
    if values.size > MOST_NUMBERS:
        return
    for (layer, head), value in np.ndenumerate(values):
        colour = "white" if abs(value) > 0.6 * most else "black"
        style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7, "color": colour}
        panel.text(head, layer, f"{value:.2f}", **style)


@house_style()
def neuron_dots(result: xr.Dataset, title: str) -> Figure:
    """Mean of the neurons that add most, whatever their layer, a panel for each group.

    result: of the study, computed: ``mean_neuron`` (group, layer, choice).
    """
    asked = result["group"].values[result["tokens"].values > 0]
    groups = [str(group) for group in asked][:MOST_GROUPS]
    several = len(groups) > 1
    room = Room(width=2.6, height=3.6, across=0.85, left=0.85, panel_title=several, words="y")
    sheet = Sheet(1, len(groups), room, sharex=True)
    for panel, group in zip(sheet.flat, groups, strict=True):
        _neurons(panel, result.sel(group=group), result["neuron"])
        panel.set_title(shown(group, 40) if several else "")
    sheet.legend(swatches(INTERVAL if "mean_neuron_interval" in result else ""))
    return sheet.done(title)


def _neurons(panel: Axes, here: xr.Dataset, numbers: xr.DataArray) -> None:
    ranked = ranked_neurons(here["mean_neuron"], numbers)[:MOST]
    means, rows = [each.mean for each in ranked], range(len(ranked))
    if "mean_neuron_interval" in here:
        for row, each in enumerate(ranked):
            at = here["mean_neuron_interval"].sel(layer=each.layer).isel(choice=each.choice)
            low, high = (float(at.sel(bound=end)) for end in ("lower", "upper"))
            panel.hlines(row, low, high, color=SERIES_COLOURS[1], linewidth=1)
    style: dict[str, Any] = {"linestyle": "none", "marker": "o"}
    panel.plot(means, rows, color=SERIES_COLOURS[1], **style)
    panel.axvline(0, color=GREY, linewidth=0.7, zorder=0.5)
    panel.set_yticks(rows, [each.name for each in ranked])
    panel.set_ylim(len(ranked) - 0.5, -0.5)
    panel.set_xlabel("adds to the difference")

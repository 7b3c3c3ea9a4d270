"""Figures of attribution: bars by layer, maps of heads, and bars of neurons."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from actlas.analysis.attribution.by_group import first_asked
from actlas.analysis.attribution.neuron_tables import MOST, ranked_neurons
from actlas.analysis.plots.style import SERIES_COLOURS, label_layers, shown

WIDTH = 0.8  # of the bars of a layer
MOST_NUMBERS = 200  # of a map: of a larger one the colours alone are shown
MOST_GROUPS = 4  # of a figure


def attribution_bars(result: xr.Dataset, title: str) -> Figure:
    """Mean of each part by layer with its interval, a panel for each group.

    result: of the study, computed: ``mean_attribution`` (group, part, layer).
    """
    groups = [str(group) for group in result["group"].values][:MOST_GROUPS]
    width = max(6.0, 1.5 + 0.28 * result.sizes["layer"])
    figure = Figure(figsize=(width, 1.6 + 2.4 * len(groups)), layout="constrained")
    grid: np.ndarray = figure.subplots(len(groups), 1, sharex=True, sharey=True, squeeze=False)
    panels = grid[:, 0]
    for panel, group in zip(panels, groups, strict=True):
        _bars(panel, result, group)
        if len(groups) > 1:
            panel.set_title(_titled(result, group), fontsize=10)
    panels[-1].set_xlabel("layer")
    named = panels[0].get_legend_handles_labels()
    figure.legend(*named, loc="outside lower center", ncols=len(named[0]), frameon=False)
    figure.suptitle(title, fontsize=11)
    return figure


def attribution_panel(panel: Axes, result: xr.Dataset) -> None:
    """Mean of each part by layer with its interval, of the first group."""
    group = first_asked(result)
    _bars(panel, result, group)
    panel.set_title(_titled(result, group), fontsize=10)
    panel.set_xlabel("layer")
    panel.legend(frameon=False, fontsize=8)


def _titled(result: xr.Dataset, group: str) -> str:
    return f"{shown(group)}, {int(result['tokens'].sel(group=group))} asked"


def _bars(panel: Axes, result: xr.Dataset, group: str) -> None:
    means, name = result["mean_attribution"].sel(group=group), "mean_attribution_interval"
    layers, parts = result["layer"].values, [str(part) for part in means["part"].values]
    width = WIDTH / len(parts)
    for number, part in enumerate(parts):
        places = layers + (number - (len(parts) - 1) / 2) * width
        values, bars = means.sel(part=part).values, None
        if name in result:
            bounds = result[name].sel(group=group, part=part)
            low, high = (bounds.sel(bound=end).values for end in ("lower", "upper"))
            bars = np.nan_to_num(np.stack([values - low, high - values])).clip(0)
        colour = SERIES_COLOURS[number]
        style: dict[str, Any] = {"color": colour, "error_kw": {"elinewidth": 0.8}}
        panel.bar(places, values, width, yerr=bars, label=part, **style)
    panel.axhline(0, color="0.4", linewidth=0.8)
    panel.set_ylabel("adds to the difference")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def head_maps(means: xr.DataArray, title: str, label: str = "added") -> Figure:
    """Draw numbers of heads, (group, layer, head), blue above 0 and red below."""
    groups = [str(group) for group in means["group"].values][:MOST_GROUPS]
    layers, heads = means.sizes["layer"], means.sizes["head"]
    size = (1.2 + (1 + 0.5 * min(heads, 24)) * len(groups), 1.4 + 0.36 * min(layers, 24))
    figure = Figure(figsize=size, layout="constrained")
    panels: np.ndarray = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    most = float(np.nanmax(np.abs(means.values), initial=0.0)) or 1.0
    for panel, group in zip(panels, groups, strict=True):
        image = _map(panel, means.sel(group=group), most)
        panel.set_title(shown(group) if len(groups) > 1 else "", fontsize=10)
    panels[0].set_ylabel("layer")
    label_layers(panels[0], means["layer"].values)
    figure.colorbar(image, ax=list(panels), label=label)
    figure.suptitle(title, fontsize=11)
    return figure


def _map(panel: Axes, means: xr.DataArray, most: float) -> AxesImage:
    values = means.transpose("layer", "head").values
    image = panel.imshow(values, aspect="auto", origin="lower", cmap="RdBu", vmin=-most, vmax=most)
    if values.size <= MOST_NUMBERS:
        for (layer, head), value in np.ndenumerate(values):
            colour = "white" if abs(value) > 0.6 * most else "black"
            style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7, "color": colour}
            panel.text(head, layer, f"{value:.2f}", **style)
    panel.set_xlabel("head")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    return image


def neuron_bars(result: xr.Dataset, title: str) -> Figure:
    """Mean of the neurons that add most, whatever their layer, a panel for each group.

    result: of the study, computed: ``mean_neuron`` (group, layer, choice).
    """
    asked = result["group"].values[result["tokens"].values > 0]
    groups = [str(group) for group in asked][:MOST_GROUPS]
    figure = Figure(figsize=(1.5 + 3.2 * len(groups), 5.6), layout="constrained")
    panels: np.ndarray = figure.subplots(1, len(groups), sharex=True, squeeze=False)[0]
    for panel, group in zip(panels, groups, strict=True):
        here, names, bars = result.sel(group=group), [], []
        ranked = ranked_neurons(here["mean_neuron"], result["neuron"])[:MOST]
        for each in ranked:
            names.append(each.name)
            bars.append(_beside(here, each.layer, each.choice, each.mean))
        style: dict[str, Any] = {"color": SERIES_COLOURS[1], "error_kw": {"elinewidth": 0.8}}
        means = [each.mean for each in ranked]
        panel.barh(range(len(ranked)), means, xerr=np.array(bars).T, **style)
        panel.set_yticks(range(len(ranked)), names, fontsize=8)
        panel.invert_yaxis()
        panel.axvline(0, color="0.4", linewidth=0.8)
        panel.set_xlabel("adds to the difference")
        panel.set_title(shown(group) if len(groups) > 1 else "", fontsize=10)
    figure.suptitle(title, fontsize=11)
    return figure


def _beside(here: xr.Dataset, layer: int, choice: int, mean: float) -> tuple[float, float]:
    """Return how far the interval reaches below and above a mean; 0 without one."""
    if "mean_neuron_interval" not in here:
        return 0.0, 0.0
    at = here["mean_neuron_interval"].sel(layer=layer).isel(choice=choice)
    low, high = (np.nan_to_num(float(at.sel(bound=end)), nan=mean) for end in ("lower", "upper"))
    return max(0.0, mean - float(low)), max(0.0, float(high) - mean)

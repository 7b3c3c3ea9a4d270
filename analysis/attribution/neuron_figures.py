"""The figure of neurons: those that add most, as bars with their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from actlas.analysis.attribution.figures import MOST_GROUPS
from actlas.analysis.attribution.neuron_tables import MOST, ranked_neurons
from actlas.analysis.plots.style import SERIES_COLOURS, shown


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

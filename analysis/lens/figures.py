"""Figures of a lens: the words of a sentence at every depth, and the profile over depths."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actlas.analysis.lens.words import visible
from actlas.analysis.plots.style import SERIES_COLOURS, shown
from actlas.store.readouts.words import Words

MOST_TOKENS = 28  # of a grid
MOST_ROWS = 25
LONGEST = 9  # characters of a word in a cell
LIGHT = 0.6  # above this probability a cell is dark, and its word white


def lens_grid(result: xr.Dataset, words: Words, sentence: int) -> Figure:
    """First choice of every depth for the tokens of a sentence, coloured by its probability.

    result: of ``actlas.analysis.lens.compute.lens``, computed. At most MOST_TOKENS tokens and about
    MOST_ROWS depths, evenly spread, are drawn.
    """
    places = np.flatnonzero(result["sentence"].values == sentence)[:MOST_TOKENS]
    step = -(-result.sizes["depth"] // MOST_ROWS)
    depths = np.arange(result.sizes["depth"] - 1, -1, -step)[::-1]
    here = result.isel(token=places, depth=depths)
    probability = here["top_probability"].isel(choice=0).values
    figure = Figure(
        figsize=(1.5 + 0.72 * len(places), 1.6 + 0.28 * len(depths)), layout="constrained"
    )
    panel = figure.subplots()
    image = panel.imshow(probability, aspect="auto", origin="lower", cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(probability):
        word = shown(visible(str(here["top_word"].values[row, column])), LONGEST)
        colour = "white" if value > LIGHT else "black"
        panel.text(column, row, word, ha="center", va="center", fontsize=7, color=colour)
    read = [shown(visible(word), LONGEST) for word in words.of(here["token_id"].values)]
    panel.set_xticks(range(len(places)), read, rotation=45, ha="right", fontsize=8)
    panel.set_yticks(range(len(depths)), [str(depth) for depth in here["depth"].values])
    panel.set_xlabel("token that is read; its column says what comes next")
    panel.set_ylabel("depth")
    figure.colorbar(image, ax=panel, label="probability", shrink=0.8)
    figure.suptitle(f"First choice of every depth, sentence {sentence}", fontsize=11)
    return figure


def lens_profile(result: xr.Dataset) -> Figure:
    """Loss, divergence from the last depth and entropy over depths, a line for each group."""
    names = {
        "mean_nll": "loss (nats)",
        "mean_kl": "KL from the last depth (nats)",
        "mean_entropy": "entropy (nats)",
    }
    there = [name for name in names if name in result]
    figure = Figure(figsize=(3.7 * len(there), 3.6), layout="constrained")
    panels: np.ndarray = figure.subplots(1, len(there), squeeze=False)[0]
    for panel, name in zip(panels, there, strict=True):
        _lines(panel, result[name], result.get(f"{name}_interval"))
        panel.set_title(names[name], fontsize=10)
        panel.set_ylim(bottom=0)
    figure.legend(
        *panels[-1].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
    )
    figure.suptitle("What each depth would say", fontsize=11)
    return figure


def lens_panel(panel: Axes, result: xr.Dataset) -> None:
    """Loss over depths, a line for each group; without losses the KL from the last depth."""
    name = "mean_nll" if "mean_nll" in result else "mean_kl"
    _lines(panel, result[name], result.get(f"{name}_interval"))
    panel.set_ylabel("loss (nats)" if name == "mean_nll" else "KL from the last depth (nats)")
    panel.set_ylim(bottom=0)
    panel.legend(frameon=False, fontsize=8)


def _lines(panel: Axes, means: xr.DataArray, bounds: xr.DataArray | None) -> None:
    for number, group in enumerate(means["group"].values):
        colour = SERIES_COLOURS[number % len(SERIES_COLOURS)]
        values = means.sel(group=group)
        label = shown(str(group))
        if not values.notnull().any():  # first tokens have no loss
            continue
        panel.plot(values["depth"], values, color=colour, marker="o", markersize=3, label=label)
        if bounds is not None:
            low, high = (bounds.sel(group=group, bound=end) for end in ("lower", "upper"))
            panel.fill_between(values["depth"], low, high, color=colour, alpha=0.2, linewidth=0)
    panel.set_xlabel("depth")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))

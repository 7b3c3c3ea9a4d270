"""Figures of a lens: the words of a sentence at every depth, its loss, the profile over depths."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from actlas.analysis.lens.words import visible
from actlas.analysis.plots.marks import (
    MOST_MARKS,
    band,
    bars,
    heat,
    layer_axis,
    legend_in,
    line,
    swatches,
)
from actlas.analysis.plots.sheet import Room, Sheet
from actlas.analysis.plots.style import INTERVAL, MOST_GROUPS, Look, group_looks, house_style, shown
from actlas.store.readouts.words import Words

MOST_TOKENS = 28  # of a grid
MOST_ROWS = 25
LONGEST = 9  # characters of a word in a cell
LIGHT = 0.6  # above this probability a cell is dark, and its word white
MOST_READ = 160  # tokens of a sentence whose loss is shown
ROW_LETTERS, TALLEST = 78, 14  # letters and rows of that sentence
NARROW, LONGEST_READ = 0.088, 20  # inches of a letter of one width at 9 points; letters of a token
NAMES = {
    "mean_nll": "loss (nats)",
    "mean_kl": "KL from the last depth (nats)",
    "mean_entropy": "entropy (nats)",
}


@house_style()
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
    tops = here["top_word"].values
    room = Room(0.62 * len(places), 0.22 * len(depths), bottom=0.95, panel_title=False, words="x")
    sheet = Sheet(1, 1, room)
    (panel,) = sheet.flat
    image = heat(panel, probability, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(probability):
        word = shown(visible(str(tops[row, column])), LONGEST)
        colour = "white" if value > LIGHT else "black"
        panel.text(column, row, word, ha="center", va="center", fontsize=7, color=colour)
    read = [shown(visible(word), LONGEST) for word in words.of(here["token_id"].values)]
    panel.set_xticks(range(len(places)), read, rotation=45, ha="right", rotation_mode="anchor")
    panel.set_yticks(range(len(depths)), [str(depth) for depth in here["depth"].values])
    panel.tick_params(length=0)
    panel.set_xlabel("token that is read; its column says what comes next")
    panel.set_ylabel("depth")
    sheet.bar(image, "probability")
    return sheet.done(f"First choice of every depth, sentence {sentence}")


@house_style()
def sentence_loss(result: xr.Dataset, words: Words, sentence: int) -> Figure:
    """The tokens of a sentence in order, each shaded by its loss at the last depth.

    A token without a loss, the first, has no shade. At most MOST_READ tokens are shown.
    """
    places = np.flatnonzero(result["sentence"].values == sentence)[:MOST_READ]
    losses = result["nll"].isel(token=places, depth=-1).values
    read = [shown(visible(w), LONGEST_READ) for w in words.of(result["token_id"].values[places])]
    cells, rows = _flowed(read)
    room = Room(ROW_LETTERS * NARROW, 0.24 * rows, left=0.2, bottom=0.15, panel_title=False)
    sheet = Sheet(1, 1, room)
    (panel,) = sheet.flat
    most = float(np.nanmax(losses, initial=0.0)) or 1.0
    shades = ScalarMappable(Normalize(0, most), "Oranges")
    for (left, row, word), loss in zip(cells, losses, strict=False):
        colour = shades.to_rgba(loss) if np.isfinite(loss) else "white"
        edge: dict[str, Any] = {"edgecolor": "white", "linewidth": 1.0}
        panel.add_patch(Rectangle((left, row), len(word), 0.9, facecolor=colour, **edge))
        ink = "white" if np.isfinite(loss) and loss > 0.75 * most else "black"
        where: dict[str, Any] = {"va": "center", "color": ink, "family": "monospace"}
        panel.text(left + 0.3, row + 0.45, word, fontsize=9 * 0.88, **where)
    panel.set_xlim(0, ROW_LETTERS)
    panel.set_ylim(rows, 0)
    panel.set_axis_off()
    sheet.bar(shades, "loss (nats)")
    return sheet.done(f"Loss of each token at the last depth, sentence {sentence}")


def _flowed(tokens: Iterable[str]) -> tuple[list[tuple[float, int, str]], int]:
    """Return left end, row and text of each token in rows of ROW_LETTERS, and how many rows."""
    left, row, found = 0, 0, []
    for token in tokens:
        text = token.strip() + " "
        if left + len(text) > ROW_LETTERS:
            left, row = 0, row + 1
        if row == TALLEST:
            break
        found.append((float(left), row, text))
        left += len(text)
    return found, min(row + 1, TALLEST)


@house_style()
def lens_profile(result: xr.Dataset) -> Figure:
    """Loss, divergence from the last depth and entropy over depths, a line for each group.

    Of a run with edits, the loss of the run without them is dotted.
    """
    there = [name for name in NAMES if name in result]
    sheet = Sheet(1, len(there), Room(width=2.7, height=2.2, across=0.75, panel_title=False))
    for panel, name in zip(sheet.flat, there, strict=True):
        _lines(panel, result, name)
        panel.set_ylabel(NAMES[name])
    named = sheet.flat[-1].get_legend_handles_labels()[0]
    sheet.legend([*named, *_swatches(result, there[0])])
    return sheet.done("What each depth would say")


def lens_panel(panel: Axes, result: xr.Dataset) -> None:
    """Loss over depths, a line for each group; without losses the KL from the last depth."""
    name = "mean_nll" if "mean_nll" in result else "mean_kl"
    _lines(panel, result, name)
    panel.set_ylabel(NAMES[name])
    legend_in(panel, _swatches(result, name))


def _swatches(result: xr.Dataset, name: str) -> list[Artist]:
    interval = INTERVAL if f"{name}_interval" in result else ""
    before = "loss without edits" if "baseline_nll" in result else ""
    many = result.sizes["depth"] > MOST_MARKS
    return swatches("" if many else interval, interval if many else "", before)


def _lines(panel: Axes, result: xr.Dataset, name: str) -> None:
    means, bounds, depths = result[name], result.get(f"{name}_interval"), result["depth"].values
    for group, look in group_looks(means["group"].values[:MOST_GROUPS]).items():
        values = means.sel(group=group)
        if not values.notnull().any():  # first tokens have no loss
            continue
        line(panel, depths, values, look, shown(group))
        if bounds is not None:
            limits = bounds.sel(group=group).transpose("bound", "depth").values
            if len(depths) > MOST_MARKS:
                band(panel, depths, limits, look.colour)
            else:
                bars(panel, depths, values, limits, look.colour)
        if name == "mean_nll" and "baseline_nll" in result:
            before = result["baseline_nll"].sel(group=group)
            line(panel, depths, before, Look(look.colour, ":"))
    panel.set_ylim(bottom=0)
    layer_axis(panel, "depth")

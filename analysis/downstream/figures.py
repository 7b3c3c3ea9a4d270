"""Studies 3 to 5: figures of what edits do downstream."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actlas.analysis.plots.style import SERIES_COLOURS, shown

BASELINE_COLOUR = "#444444"
WIDE = 20.0  # largest over smallest value from which on an axis is logarithmic
LETTERS = 15  # of a legend's an inch
LONGEST_EDITS = 100  # characters of a variant's edits
LEGEND_LINE = 8  # letters that a legend's line and gaps take


def downstream_delta(result: xr.Dataset) -> Figure:
    """Δ over depths and Δ relative to the baseline's norm, a line per variant.

    A diamond marks the edited depth.

    result: of ``actlas.analysis.downstream.compute.downstream``.
    """
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, 2)
    for panel, name in zip(panels, ("delta", "relative_delta"), strict=True):
        _lines(panel, result, name)
        panel.set_ylim(bottom=0)
        _depth_axis(panel)
    panels[0].set_ylabel("Δ = ‖h − h′‖ (Frobenius)")
    panels[1].set_ylabel("Δ / ‖h‖")
    figure.suptitle("What an edit changes downstream of it", fontsize=11)
    _legend(figure, panels[0])
    return figure


def downstream_profile(result: xr.Dataset, kind: str) -> Figure:
    """``step`` or ``std`` over depths, clean and variants in one figure.

    Logarithmic where values differ widely.
    """
    figure = Figure(figsize=(9, 5), layout="constrained")
    panel: Axes = figure.subplots()
    clean = result[f"baseline_{kind}"]
    _lines(panel, result, kind)
    panel.plot(
        clean["depth"],
        clean,
        color=BASELINE_COLOUR,
        linestyle=(0, (4, 2)),
        zorder=3,
        label="without edits",
    )
    values = np.concatenate([clean.values.ravel(), result[kind].values.ravel()])
    positive = values[values > 0]
    if positive.size and positive.max() > WIDE * positive.min():
        # an exact 0, as at a skipped layer, stands at the bottom
        panel.set_yscale(
            "symlog" if (values == 0).any() else "log",
            **({"linthresh": positive.min()} if (values == 0).any() else {}),
        )
    else:
        panel.set_ylim(bottom=0)
    _depth_axis(panel)
    panel.set_ylabel(
        {"step": "‖h[d] − h[d−1]‖ (Frobenius)", "std": "standard deviation of h[d]"}[kind]
    )
    title = {
        "step": "How far each layer moves the residual stream",
        "std": "Spread of the residual stream",
    }[kind]
    panel.set_title(title, fontsize=11)
    _legend(figure, panel)
    return figure


def redundant_layers(result: xr.Dataset) -> Figure:
    """Change of the loss per skipped layer, as bars with the standard error over sentences.

    result: of ``actlas.analysis.downstream.compute.redundancy``.
    """
    figure = Figure(figsize=(max(6.0, 0.22 * result.sizes["layer"]), 4.2), layout="constrained")
    redundancy_panel(figure.subplots(), result)
    return figure


def redundancy_panel(panel: Axes, result: xr.Dataset) -> None:
    """Draw the bars of ``redundant_layers``."""
    by_sentence = result["sentence_nll_change"]
    error = by_sentence.std("sentence", ddof=1) / by_sentence.notnull().sum("sentence") ** 0.5
    change = result["nll_change"].values
    colours = np.where(change >= 0, SERIES_COLOURS[0], SERIES_COLOURS[1])
    panel.bar(
        result["layer"],
        change,
        color=list(colours),
        yerr=error.values,
        capsize=2,
        error_kw={"linewidth": 1},
    )
    scale = ""
    if np.abs(change).max() > WIDE * np.median(np.abs(change)) > 0:
        panel.set_yscale("symlog", linthresh=float(np.median(np.abs(change))))
        scale = ", logarithmic"
    panel.axhline(0, color=BASELINE_COLOUR, linewidth=0.8)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel("layer that is skipped")
    panel.set_ylabel(f"change of loss (nats per token{scale})")
    panel.set_title(
        "Which layers are redundant? Bars: ± standard error over sentences", fontsize=11
    )


def delta_panel(panel: Axes, result: xr.Dataset) -> None:
    """Δ relative to the baseline's norm over depths, a line per variant."""
    _lines(panel, result, "relative_delta")
    panel.set_ylim(bottom=0)
    panel.set_ylabel("Δ / ‖h‖")
    _depth_axis(panel)
    panel.legend(frameon=False, fontsize=8)


def _lines(panel: Axes, result: xr.Dataset, name: str) -> None:
    for number, variant in enumerate(result["variant"].values):
        of_variant = result.sel(variant=variant)
        colour = _colour(number, result.sizes["variant"])
        values = of_variant[name]
        panel.plot(
            values["depth"],
            values,
            color=colour,
            marker="o",
            markersize=3,
            label=_label(of_variant),
        )
        first = int(of_variant["first_depth"])
        if first in values["depth"].values:
            panel.plot(
                first,
                values.sel(depth=first),
                color=colour,
                marker="D",
                markersize=7,
                fillstyle="none",
            )


def _label(of_variant: xr.Dataset) -> str:
    edits = shown(str(of_variant["edits"].values), LONGEST_EDITS)
    if "nll_change" not in of_variant:
        return edits
    return f"{edits}  ({float(of_variant['nll_change']):+.3g} nats)"


def _colour(number: int, count: int) -> str:
    if count <= len(SERIES_COLOURS):
        return SERIES_COLOURS[number]
    colour: str = mpl.colors.to_hex(mpl.colormaps["viridis"](0.9 * number / (count - 1)))
    return colour


def _depth_axis(panel: Axes) -> None:
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel("depth d (output of layer d − 1; 0: embeddings); ◇ first edited")


def _legend(figure: Figure, panel: Axes) -> None:
    handles, labels = panel.get_legend_handles_labels()
    columns = int(figure.get_figwidth() * LETTERS // (max(map(len, labels)) + LEGEND_LINE))
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=max(1, min(columns, len(labels))),
        frameon=False,
        fontsize=8,
    )

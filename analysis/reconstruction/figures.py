"""Study 2, the figures of the sum that a layer is, and of consecutive depths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actlas.analysis.plots.style import SERIES_COLOURS

LEAST = 1e-12  # errors below are drawn there: none at all has no logarithm
HEXAGONS = 60  # across a panel


def reconstruction_profile(result: xr.Dataset, edited: Sequence[int] = ()) -> Figure:
    """Relative error of each layer's sum beside the correlation of consecutive depths.

    The correlation is drawn with and without the mask; alone where there are no sums.

    result: of ``reconstruction`` and ``laminar_correlation``. edited: layers whose output was
    edited.
    """
    sums = "sum" in result.dims
    figure = Figure(figsize=(11 if sums else 6.5, 4.4), layout="constrained")
    panels: list[Axes] = figure.subplots(1, 1 + sums, squeeze=False).ravel().tolist()
    if sums:
        _errors(panels[0], result, edited)
    _correlations(panels[-1], result)
    for panel in panels:
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.legend(frameon=False, fontsize=9)
    return figure


def reconstruction_panel(panel: Axes, result: xr.Dataset, edited: Sequence[int] = ()) -> None:
    """Relative error of each layer's sum; where there are no sums, the correlation of depths."""
    if "sum" in result.dims:
        _errors(panel, result, edited)
    else:
        _correlations(panel, result)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.legend(frameon=False, fontsize=9)


def _errors(panel: Axes, result: xr.Dataset, edited: Sequence[int]) -> None:
    for name, colour in zip(result["sum"].values, SERIES_COLOURS, strict=False):
        of_sum = np.maximum(result["relative_error"].sel(sum=name), LEAST)
        panel.plot(result["layer"], of_sum, color=colour, marker="o", markersize=3, label=str(name))
    _mark(panel, edited)
    panel.set_yscale("log")
    low, high = panel.get_ylim()
    panel.set_ylim(low / 10, high * 10)  # errors that differ by a little look it
    panel.set_xlabel("layer")
    panel.set_title("‖output − sum of its parts‖ / ‖output‖")


def _correlations(panel: Axes, result: xr.Dataset) -> None:
    for name, label, style, colour in (
        ("laminar_correlation", "masked", "-", SERIES_COLOURS[0]),
        ("unmasked_correlation", "not masked", "--", SERIES_COLOURS[1]),
    ):
        panel.plot(
            result["pair"], result[name], style, color=colour, marker="o", markersize=3, label=label
        )
    panel.set_xlabel("depth d")
    panel.set_ylim(top=1.02)
    left_out = float(result["excluded_share"].mean())
    panel.set_title(f"Pearson's r of depth d and d + 1; masked: {left_out:.1%} left out")


def depth_pair(
    lower: npt.NDArray[np.float64], upper: npt.NDArray[np.float64], result: xr.Dataset, note: str
) -> Figure:
    """Two consecutive depths, an entry a point, counted in hexagons.

    All entries, and those that the mask keeps.

    lower, upper: entries of depth d and d + 1, flat. result: of ``laminar_correlation`` at that
    pair. note: what was drawn.
    """
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    kept = np.maximum(np.abs(lower), np.abs(upper)) < float(result["cut"])
    everything, masked = figure.subplots(1, 2)
    pair = int(result["pair"])
    titles = (
        (everything, slice(None), f"all: r = {float(result['unmasked_correlation']):.4f}"),
        (masked, kept, f"masked: r = {float(result['laminar_correlation']):.4f}"),
    )
    for panel, entries, title in titles:
        x, y = lower[entries], upper[entries]
        reach = max(np.abs(x).max(initial=0), np.abs(y).max(initial=0)) or 1.0
        extent = (-reach, reach, -reach, reach)
        drawn = panel.hexbin(
            x,
            y,
            gridsize=HEXAGONS,
            bins="log",
            mincnt=1,
            extent=extent,
            cmap="viridis",
            linewidths=0.1,
        )
        panel.plot([-reach, reach], [-reach, reach], color="0.5", linewidth=0.8, linestyle=":")
        panel.set_aspect("equal")
        panel.set_title(title)
        panel.set_xlabel(f"residual stream at depth {pair}")
        panel.set_ylabel(f"at depth {pair + 1}")
        figure.colorbar(drawn, ax=panel, shrink=0.85).set_label("entries in a hexagon")
    share = float(result["excluded_share"])
    figure.suptitle(
        f"{note}; masked: {share:.2%} of the run's entries left out, |value| from "
        f"{float(result['cut']):.4g} on",
        fontsize=10,
    )
    return figure


def _mark(panel: Axes, edited: Sequence[int]) -> None:
    for number, layer in enumerate(edited):
        panel.axvline(layer, color="0.6", linestyle=":", label="edited" if number == 0 else None)

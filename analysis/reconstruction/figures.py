"""Study 2, the figures of the sum that a layer is, and of consecutive depths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from actlas.analysis.plots.marks import (
    band,
    heat,
    layer_axis,
    legend_in,
    line,
    log_axis,
    swatches,
)
from actlas.analysis.plots.sheet import Room, Sheet
from actlas.analysis.plots.style import (
    GREY,
    INTERVAL,
    MOST_GROUPS,
    SERIES_COLOURS,
    Look,
    group_looks,
    house_style,
    shown,
)

LEAST = 1e-12  # errors below are drawn there: none at all has no logarithm
CELLS = 120  # of a side of the picture of two depths
PAIR = "depth d"
CORRELATION = "Pearson's r of depths d, d + 1"


@house_style()
def reconstruction_profile(result: xr.Dataset, edited: Sequence[int] = ()) -> Figure:
    """Relative error of each layer's sum beside the correlation of consecutive depths.

    The correlation is drawn with and without the mask, and by group of tokens where there are any;
    without sums these stand alone.

    result: of ``reconstruction`` and ``laminar_correlation``. edited: layers whose output was
    edited.
    """
    sums, grouped = "sum" in result.dims, "group_correlation" in result
    sheet = Sheet(1, 1 + sums + grouped, Room(width=2.9, height=2.2, across=0.8))
    if sums:
        _errors(sheet.flat[0], result, edited)
        legend_in(sheet.flat[0])
    _correlations(sheet.flat[sums], result)
    legend_in(sheet.flat[sums])
    if grouped:
        _by_group(sheet.flat[-1], result)
        names = ("laminar_correlation", "unmasked_correlation", "group_correlation")
        low = min(float(result[name].min()) for name in names)
        for panel in sheet.flat[sums:]:
            panel.set_ylim(low - 0.05 * (1.02 - low), 1.02)
        shaded = INTERVAL if "group_correlation_interval" in result else ""
        named = sheet.flat[-1].get_legend_handles_labels()[0]
        sheet.legend([*named, *swatches(shaded=shaded)])
    what = "Is every layer the sum of its parts? " if sums else ""
    return sheet.done(f"{what}How much a layer changes the stream")


def reconstruction_panel(panel: Axes, result: xr.Dataset, edited: Sequence[int] = ()) -> None:
    """Relative error of each layer's sum; where there are no sums, the correlation of depths."""
    if "sum" in result.dims:
        _errors(panel, result, edited)
    else:
        _correlations(panel, result)
    legend_in(panel)


def _errors(panel: Axes, result: xr.Dataset, edited: Sequence[int]) -> None:
    for name, colour in zip(result["sum"].values, SERIES_COLOURS, strict=False):
        of_sum = np.maximum(result["relative_error"].sel(sum=name), LEAST)
        line(panel, result["layer"], of_sum, Look(colour), str(name))
    for number, layer in enumerate(edited):
        panel.axvline(layer, color=GREY, linestyle=":", label=None if number else "edited")
    errors = np.maximum(result["relative_error"].values, LEAST)
    # errors that differ by a little look it
    panel.set_ylim(np.nanmin(errors) / 10, np.nanmax(errors) * 10)
    log_axis(panel.yaxis)
    layer_axis(panel, "layer")
    panel.set_ylabel("relative error")
    panel.set_title("‖output − sum of its parts‖ / ‖output‖")


def _correlations(panel: Axes, result: xr.Dataset) -> None:
    left_out = float(result["excluded_share"].mean())
    masked = f"largest {left_out:.1%} left out"
    line(panel, result["pair"], result["laminar_correlation"], Look(SERIES_COLOURS[0]), masked)
    plain = result["unmasked_correlation"]
    line(panel, result["pair"], plain, Look(SERIES_COLOURS[1], "--"), "all values")
    layer_axis(panel, PAIR)
    panel.set_ylim(top=1.02)
    panel.set_ylabel(CORRELATION)
    panel.set_title("Consecutive depths")


def _by_group(panel: Axes, result: xr.Dataset) -> None:
    r, name = result["group_correlation"].dropna("group", how="all"), "group_correlation_interval"
    looks = group_looks(result["group"].values)
    for group in map(str, r["group"].values[:MOST_GROUPS]):
        line(panel, result["pair"], r.sel(group=group), looks[group], shown(group))
        if name in result:
            bounds = result[name].sel(group=group).transpose("bound", "pair").values
            band(panel, result["pair"].values, bounds, looks[group].colour)
    layer_axis(panel, PAIR)
    panel.set_ylabel(CORRELATION)
    panel.set_title("By group of tokens, all values")


@house_style()
def depth_pair(
    lower: npt.NDArray[np.float64], upper: npt.NDArray[np.float64], result: xr.Dataset, note: str
) -> Figure:
    """Two consecutive depths against each other: how many entries each cell has.

    All entries, and those that the mask keeps.

    lower, upper: entries of depth d and d + 1, flat. result: of ``laminar_correlation`` at that
    pair. note: what was drawn.
    """
    sheet = Sheet(1, 2, Room(width=3.0, height=3.0, across=1.55, right=0.95))
    kept = np.maximum(np.abs(lower), np.abs(upper)) < float(result["cut"])
    pair, share = int(result["pair"]), float(result["excluded_share"])
    cut = f"|value| < {float(result['cut']):.4g}, {share:.2%} left out"
    chosen: tuple[tuple[Any, str], ...] = (
        (slice(None), f"All: r = {float(result['unmasked_correlation']):.4f}"),
        (kept, f"{cut}: r = {float(result['laminar_correlation']):.4f}"),
    )
    for panel, (entries, title) in zip(sheet.flat, chosen, strict=True):
        _cells(panel, lower[entries], upper[entries])
        panel.set_title(title)
        panel.set_xlabel(f"residual stream at depth {pair}")
        panel.set_ylabel(f"at depth {pair + 1}")
    return sheet.done(f"Depth {pair} against depth {pair + 1}: {note}")


def _cells(panel: Axes, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> None:
    reach = max(np.abs(x).max(initial=0), np.abs(y).max(initial=0)) or 1.0
    extent = (-reach, reach, -reach, reach)
    counts, _, _ = np.histogram2d(x, y, CELLS, [extent[:2], extent[2:]])
    cells = np.ma.masked_equal(counts.T, 0)
    most = max(float(counts.max()), 2.0)
    image = heat(panel, cells, extent=extent, norm=LogNorm(1, most), cmap="viridis")
    panel.plot(extent[:2], extent[:2], color=GREY, linewidth=0.8, linestyle=":")
    panel.set_aspect("equal")
    figure = panel.get_figure()
    if figure is not None:
        bar = figure.colorbar(image, cax=panel.inset_axes((1.03, 0.0, 0.04, 1.0)))
        bar.set_label("entries in a cell")
        bar.ax.minorticks_off()

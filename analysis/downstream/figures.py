"""Studies 3 to 5: figures of what edits do downstream, depth by depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from actlas.analysis.norms.per_token import LABELS as PER_TOKEN
from actlas.analysis.norms.per_token import RELATIVE, per_token
from actlas.analysis.plots.marks import by_orders, entry, layer_axis, legend_in, line
from actlas.analysis.plots.series import Series, series_of
from actlas.analysis.plots.sheet import Room, Sheet
from actlas.analysis.plots.style import MUTED, SERIES_COLOURS, Look, house_style, shown

LONGEST_EDITS = 100  # characters of a variant's edits
MANY = 24  # variants, of which nobody tells marks apart
MOST_NAMED = len(SERIES_COLOURS)  # variants that a legend names
CLEAN, FIRST_EDITED = "without edits", "first edited depth"
DEPTH = "depth (output of layer depth − 1)"
SPREAD_LABELS = {"step": PER_TOKEN["step"], "std": "standard deviation of h[d]"}
SPREAD_TITLES = {
    "step": "How far each layer moves the residual stream",
    "std": "Spread of the residual stream",
}
LABELS = {"delta": PER_TOKEN["delta"], "relative_delta": RELATIVE}


@house_style()
def downstream_delta(result: xr.Dataset) -> Figure:
    """Δ of a token over depths and Δ relative to the baseline's norm, a line per variant.

    A diamond marks the edited depth. Variants that differ in numbers have the colours of a bar.

    result: of ``actlas.analysis.downstream.compute.downstream``.
    """
    sheet = Sheet(1, 2, Room(width=3.2, height=2.4, across=0.75, panel_title=False))
    result = result.assign(delta=per_token(result, "delta"))
    looks, series = variant_looks(result)
    for panel, name in zip(sheet.flat, LABELS, strict=True):
        _lines(panel, result, name, looks)
        panel.set_ylabel(LABELS[name])
    _name_variants(sheet, series, result)
    return sheet.done("What an edit changes downstream of it")


@house_style()
def downstream_profile(result: xr.Dataset, kind: str) -> Figure:
    """``step`` or ``std`` over depths, clean and variants in one figure.

    Logarithmic where values differ widely.
    """
    sheet = Sheet(1, 1, Room(width=4.6, height=2.6, panel_title=False))
    (panel,), (looks, series) = sheet.flat, variant_looks(result)
    if kind in PER_TOKEN:
        names = (kind, f"baseline_{kind}")
        result = result.assign({name: per_token(result, name) for name in names})
    clean = result[f"baseline_{kind}"]
    _lines(panel, result, kind, looks, clean.values)
    style: dict[str, Any] = {"linestyle": (0, (4, 2)), "zorder": 3}
    panel.plot(clean["depth"], clean, color=MUTED, label=CLEAN, **style)
    panel.set_ylabel(SPREAD_LABELS[kind])
    _name_variants(sheet, series, result, [panel.lines[-1]])
    return sheet.done(SPREAD_TITLES[kind])


def delta_panel(panel: Axes, result: xr.Dataset) -> None:
    """Δ relative to the baseline's norm over depths, a line per variant."""
    looks, series = variant_looks(result)
    _lines(panel, result, "relative_delta", looks)
    panel.set_ylabel(LABELS["relative_delta"])
    if series is None:
        legend_in(panel)
    else:
        series.bar_beside(panel)


def variant_looks(result: xr.Dataset) -> tuple[list[Look], Series | None]:
    """Return how each variant is drawn, and what a colour bar says where no legend does."""
    series = series_of([str(text) for text in result["edits"].values], MOST_NAMED)
    colours: Sequence[str] = SERIES_COLOURS if series is None else series.colours
    return [Look(colour) for colour in colours[: result.sizes["variant"]]], series


def edits_label(variant: xr.Dataset, longest: int = LONGEST_EDITS) -> str:
    """Return how a legend calls a variant: its edits, and the change of the loss if known."""
    edits = shown(str(variant["edits"].values), longest)
    if "nll_change" not in variant:
        return edits
    return f"{edits}  ({float(variant['nll_change']):+.3g} nats)"


def _lines(
    panel: Axes, result: xr.Dataset, name: str, looks: Sequence[Look], *beside: np.ndarray
) -> None:
    depth, many = result["depth"].values, len(looks) > MANY
    for number, look in enumerate(looks):
        variant = result.isel(variant=number)
        values = variant[name].values
        more: dict[str, Any] = {"linewidth": 0.8} if many else {}
        line(panel, depth, values, look, edits_label(variant), **more)
        first = int(variant["first_depth"])
        if first in depth and not many:
            mark: dict[str, Any] = {"marker": "D", "markersize": 6, "fillstyle": "none"}
            panel.plot(first, values[list(depth).index(first)], color=look.colour, **mark)
    by_orders(
        panel.yaxis, np.concatenate([each.ravel() for each in (result[name].values, *beside)])
    )
    layer_axis(panel, DEPTH)


def _name_variants(
    sheet: Sheet, series: Series | None, result: xr.Dataset, more: Sequence[Line2D] = ()
) -> None:
    """Name the variants by a legend, or by a colour bar."""
    diamond: dict[str, Any] = {"marker": "D", "markersize": 6, "fillstyle": "none"}
    others = [*more]
    if result.sizes["variant"] <= MANY:
        others.append(entry(FIRST_EDITED, linestyle="none", **diamond))
    if series is None:
        named = sheet.flat[0].get_legend_handles_labels()[0]
        sheet.legend([*(each for each in named if each not in more), *others])
        return
    sheet.legend(others)
    sheet.bar(series.mappable, series.name)
    sheet.ticks_of_bar = series.ticks

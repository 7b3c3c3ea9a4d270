"""Study 1, the figures of the cosines: histograms of a few layers, heat maps, profiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, SymLogNorm
from matplotlib.figure import Figure

from actlas.analysis.plots.marks import (
    DIVERGING,
    MOST_MARKS,
    band,
    bars,
    heat,
    layer_axis,
    layer_rows,
    legend_in,
    line,
    log_axis,
    swatches,
)
from actlas.analysis.plots.sheet import Room, Sheet
from actlas.analysis.plots.style import (
    INTERVAL,
    MOST_GROUPS,
    Look,
    a_few,
    group_label,
    group_looks,
    house_style,
    short,
    shown,
)

MOST_BINS = 50  # of a histogram
LAYERS = 4  # of the histograms, about
LEAST_SHARE = 1e-4  # of pairs in a bin that a figure tells from none
MOST_MAPS = 4  # groups of the heat maps
CHANCE = "chance"


@house_style()
def cosine_layers(result: xr.Dataset, word: str | None) -> Figure:
    """Histograms of each pair of projections at a few layers, target over control.

    A row a layer, the first below; a column a pair of projections. result: of
    ``actlas.analysis.cosine.compute.cosine_histograms``.
    """
    layers, pairs = a_few(result.sizes["layer"], LAYERS)[::-1], result["projection_pair"]
    room = Room(width=1.4, height=0.95, across=0.22, down=0.12)
    sheet = Sheet(len(layers), pairs.size, room, sharex=True, sharey=True)
    shares, edges = _coarse(_shares(result), result["bin_edge"].values)
    looks = group_looks(result["group"].values[:MOST_GROUPS])
    for row, layer in zip(sheet.panels, layers, strict=True):
        for panel, pair in zip(row, pairs.values, strict=True):
            for group, look in looks.items():
                share = shares.isel(layer=layer).sel(projection_pair=pair, group=group).values
                _stairs(panel, share, edges, look, group_label(group, word, _control(result)))
        row[0].set_ylabel(f"layer {int(result['layer'][layer])}")
    for panel, pair in zip(sheet.panels[0], pairs.values, strict=True):
        panel.set_title(str(pair))
    for panel in sheet.panels[-1]:
        panel.set_xlabel("cosine")
        panel.set_xticks([-1, 0, 1])
    _share_axis(sheet.flat[0])
    sheet.legend(sheet.flat[0].get_legend_handles_labels()[0])
    width = edges[1] - edges[0]
    return sheet.done(
        f"Cosines between features over contexts: share of pairs in a bin of {width:g}"
    )


def _coarse(shares: xr.DataArray, edges: np.ndarray) -> tuple[xr.DataArray, np.ndarray]:
    """Return shares of as many bins as a small panel can show, and their edges."""
    step = -(-shares.sizes["bin"] // MOST_BINS)
    if shares.sizes["bin"] % step:
        return shares, edges
    return shares.coarsen(bin=step).sum(), edges[::step]


def _stairs(panel: Axes, share: np.ndarray, edges: np.ndarray, look: Look, label: str) -> None:
    style: dict[str, Any] = {"color": look.colour, "linestyle": look.line, "linewidth": 1.0}
    panel.stairs(np.maximum(share, LEAST_SHARE / 10), edges, label=label, **style)


def _share_axis(panel: Axes) -> None:
    log_axis(panel.yaxis)
    panel.set_ylim(LEAST_SHARE, 1.3)
    panel.set_yticks([1e-4, 1e-2, 1], [short(each) for each in (1e-4, 1e-2, 1)])
    panel.set_xlim(-1, 1)


@house_style()
def cosine_heatmap(result: xr.Dataset, word: str | None) -> Figure:
    """Histograms of each pair of projections as layer × bin, colour the share of pairs in a bin.

    A row a pair of projections, a column a group; of two groups a column for their difference too.
    """
    groups = [str(group) for group in result["group"].values][:MOST_MAPS]
    compared = _compared(result, groups)
    room = Room(width=2.1, height=1.15, across=0.2, down=0.16)
    pairs = result["projection_pair"].values
    sheet = Sheet(len(pairs), len(groups) + bool(compared), room, sharex=True, sharey=True)
    fine, edges = _coarse(_shares(result), result["bin_edge"].values)
    shares = fine.transpose("projection_pair", "group", "layer", "bin")
    columns = [shares.sel(group=group).values for group in groups]
    scale = LogNorm(LEAST_SHARE, max(float(shares.max()), 10 * LEAST_SHARE), clip=True)
    looks = [{"norm": scale, "cmap": "viridis"}] * len(groups)
    titles = [group_label(group, word, _control(result)) for group in groups]
    if compared:
        one, other = (shares.sel(group=group).values for group in compared)
        columns, looks = [*columns, one - other], [*looks, _difference_look(one - other)]
        titles.append(" − ".join(shown(name, 14) for name in compared))
    extent = (-1, 1, -0.5, shares.sizes["layer"] - 0.5)
    for row, pair in enumerate(pairs):
        for panel, values, look in zip(sheet.panels[row], columns, looks, strict=True):
            image = heat(panel, values[row], extent=extent, **look)
        sheet.panels[row, 0].set_ylabel(f"{pair}   layer")
    layer_rows(sheet.flat[0], result["layer"].values)
    for place, (panel, title) in enumerate(zip(sheet.panels[0], titles, strict=True)):
        panel.set_title(shown(title, 30))
        sheet.panels[-1, place].set_xlabel("cosine")
        sheet.panels[-1, place].set_xticks([-1, 0, 1])
    sheet.bar(sheet.panels[0, 0].images[0], f"share of pairs in a bin of {edges[1] - edges[0]:g}")
    if compared:
        sheet.bar(image, "difference of shares")
    return sheet.done("Cosines between features over contexts, layer by layer")


def _difference_look(difference: np.ndarray) -> dict[str, object]:
    """Return the colours of a difference of shares: of both signs, and over orders."""
    most = max(float(np.abs(difference).max(initial=0.0)), 10 * LEAST_SHARE)
    return {"norm": SymLogNorm(10 * LEAST_SHARE, vmin=-most, vmax=most), "cmap": DIVERGING}


@house_style()
def cosine_profile(result: xr.Dataset, word: str | None) -> Figure:
    """Mean |cosine| of each pair of projections over layers, by group.

    Bars are intervals, where there are any; a dotted line is the level of chance of a group.
    """
    pairs = result["projection_pair"].values
    sheet = Sheet(-(-len(pairs) // 3), 3, Room(width=2.6, height=1.7), sharex=True, sharey=True)
    for panel, pair in zip(sheet.flat, pairs, strict=True):
        for group, look in group_looks(result["group"].values[:MOST_GROUPS]).items():
            label = group_label(group, word, _control(result))
            _profile(panel, result.sel(projection_pair=pair, group=group), look, label)
        panel.set_title(str(pair))
        panel.set_ylim(0, 1)
    for panel in sheet.panels[-1]:
        layer_axis(panel, "layer")
    for panel in sheet.panels[:, 0]:
        panel.set_ylabel("mean |cosine|")
    named = sheet.flat[0].get_legend_handles_labels()[0]
    sheet.legend([*named, *_swatches(result)])
    return sheet.done("How alike features are over contexts: 1, they move together; 0, not at all")


def cosine_panel(panel: Axes, result: xr.Dataset, word: str | None) -> None:
    """Mean |cosine| over all pairs of projections, a line per group over layers."""
    for group, look in group_looks(result["group"].values[:MOST_GROUPS]).items():
        here = result.sel(group=group)
        label = group_label(group, word, _control(result))
        line(panel, result["layer"], here["mean_abs"].mean("projection_pair"), look, label)
        _chance(panel, here, look)
    panel.set_ylim(0, 1)
    panel.set_ylabel("mean |cosine|, six pairs of projections")
    layer_axis(panel, "layer")
    legend_in(panel, swatches(dotted=CHANCE if "chance" in result else ""))


def _profile(panel: Axes, here: xr.Dataset, look: Look, label: str) -> None:
    layers, mean = here["layer"].values, here["mean_abs"].values
    line(panel, layers, mean, look, label)
    if "mean_abs_interval" in here:
        bounds = here["mean_abs_interval"].transpose("bound", "layer").values
        if len(layers) > MOST_MARKS:
            band(panel, layers, bounds, look.colour)
        else:
            bars(panel, layers, mean, bounds, look.colour)
    _chance(panel, here, look)


def _chance(panel: Axes, here: xr.Dataset, look: Look) -> None:
    if "chance" in here:
        panel.axhline(float(here["chance"]), color=look.colour, linestyle=":", linewidth=1)


def _swatches(result: xr.Dataset) -> list[Artist]:
    interval = INTERVAL if "mean_abs_interval" in result else ""
    many = result.sizes["layer"] > MOST_MARKS
    chance = CHANCE if "chance" in result else ""
    return swatches("" if many else interval, interval if many else "", chance)


def _compared(result: xr.Dataset, groups: list[str]) -> tuple[str, str] | None:
    """Return the two groups whose difference is drawn: the first contrast, or the only two."""
    if "contrast" in result.coords and result.sizes.get("contrast"):
        one, _, other = str(result["contrast"].values[0]).partition(":")
        return one, other
    return (groups[0], groups[1]) if len(groups) == 2 else None


def _control(result: xr.Dataset) -> object:
    return result.attrs.get("control")


def _shares(result: xr.Dataset) -> xr.DataArray:
    """Return count over the defined pairs; 0 where there is none."""
    defined = result["pairs"] - result["undefined"]
    return result["count"] / defined.where(defined > 0, 1)

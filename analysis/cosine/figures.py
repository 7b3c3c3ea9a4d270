"""Study 1, the figures of the cosines.

Ridgelines, heat maps, profiles, and the matrix itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Polygon
from matplotlib.ticker import MaxNLocator

from actlas.analysis.data.sites import heads_in_words
from actlas.analysis.plots.style import group_colours, group_label

OVERLAP = 3.0  # height of the highest ridge, in distances between ridges
FEW_LAYERS = 12
FEW_GROUPS, PAIRS_ABREAST = 2, 3
LEAST_SHARE = 1e-4  # of pairs in a bin that a heat map tells from none
# of a block's name in points, by the share of the matrix that the block has
LETTERS, SMALLEST_LETTERS, LARGEST_LETTERS = 70, 5, 11
NARROW = 0.06  # share of the matrix whose ends are too near to each other for two numbers
LARGEST_PICTURE = 960  # features a side of the matrix picture; more are averaged


def cosine_ridgelines(result: xr.Dataset, word: str | None) -> Figure:
    """Histograms of each pair of projections, a ridge per layer, the first below.

    Target beside control. result: of ``actlas.analysis.cosine.compute.cosine_histograms``. A ridge
    is as high as the root of the share of pairs.
    """
    figure, panels = _grid(
        result,
        word,
        "Cosines between features over contexts: a ridge per layer, its height the root of the "
        "share of pairs",
    )
    roots, colours = _shares(result) ** 0.5, group_colours(result["group"].values)
    centres = _centres(result)
    highest = float(roots.max()) or 1.0
    tops = roots.max(("projection_pair", "group", "bin")) * OVERLAP / highest + np.arange(
        roots.sizes["layer"]
    )
    for panel, pair, group in panels:
        ridges = (
            roots.sel(projection_pair=pair, group=group).transpose("layer", "bin").values
            * OVERLAP
            / highest
        )
        for number in reversed(range(len(ridges))):  # the nearer ridge covers the one behind it
            top, colour, order = number + ridges[number], colours[group], len(ridges) - number
            panel.fill_between(
                centres, number, top, color=colour, alpha=0.45, linewidth=0, zorder=order
            )
            panel.plot(centres, top, color=colour, linewidth=0.8, zorder=order)
        panel.set_xlim(-1, 1)
        panel.set_ylim(-0.2, float(tops.max()) + 0.2)
        _layer_ticks(panel, result)
    return figure


def cosine_heatmap(result: xr.Dataset, word: str | None) -> Figure:
    """Histograms of each pair of projections as layer × bin, colour the share of pairs in a bin.

    Target beside control.
    """
    figure, panels = _grid(result, word, "Cosines between features over contexts: share of pairs")
    shares = _shares(result)
    scale = LogNorm(LEAST_SHARE, max(float(shares.max()), 10 * LEAST_SHARE), clip=True)
    image: AxesImage | None = None
    for panel, pair, group in panels:
        values = shares.sel(projection_pair=pair, group=group).transpose("layer", "bin").values
        extent = (-1, 1, -0.5, len(values) - 0.5)
        image = panel.imshow(
            values,
            aspect="auto",
            origin="lower",
            extent=extent,
            cmap="viridis",
            norm=scale,
            interpolation="nearest",
        )
        _layer_ticks(panel, result)
    if image is not None:
        bar = figure.colorbar(image, ax=figure.axes, shrink=0.6, pad=0.01)
        bar.set_label(f"share of pairs in a bin of {2 / result.sizes['bin']:g} (logarithmic)")
    return figure


def cosine_profile(result: xr.Dataset, word: str | None) -> Figure:
    """Mean |cosine| of each pair of projections over layers, by group.

    Bars are intervals, where there are any; a dotted line is the level of chance of a group.
    """
    figure = Figure(figsize=(10, 5.5), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    for panel, pair in zip(panels.flat, result["projection_pair"].values, strict=True):
        for group, colour in group_colours(result["group"].values).items():
            label = group_label(group, word, result.attrs.get("control"))
            _profile(panel, result.sel(projection_pair=pair, group=group), colour, label)
        panel.set_title(str(pair))
        panel.set_ylim(0, 1)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    for panel in panels[1]:
        panel.set_xlabel("layer")
    for panel in panels[:, 0]:
        panel.set_ylabel("mean |cosine|")
    figure.legend(
        *panels.flat[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
        frameon=False,
    )
    chance = "; dotted: chance" if "chance" in result else ""
    figure.suptitle(
        f"How alike features are over contexts: 1, they move together; 0, not at all{chance}",
        fontsize=11,
    )
    return figure


def cosine_panel(panel: Axes, result: xr.Dataset, word: str | None) -> None:
    """Mean |cosine| over all pairs of projections, a line per group over layers."""
    for group, colour in group_colours(result["group"].values).items():
        values = result["mean_abs"].sel(group=group).mean("projection_pair")
        label = group_label(group, word, result.attrs.get("control"))
        panel.plot(result["layer"], values, color=colour, marker="o", markersize=3, label=label)
    panel.set_ylim(0, 1)
    panel.set_xlabel("layer")
    panel.set_ylabel("mean |cosine|")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.legend(frameon=False, fontsize=8)


def _profile(panel: Axes, of_group: xr.Dataset, colour: str, label: str) -> None:
    layers, mean = of_group["layer"], of_group["mean_abs"].values
    panel.plot(layers, mean, color=colour, marker="o", markersize=3, label=label)
    if "mean_abs_interval" in of_group:
        low, high = of_group["mean_abs_interval"].transpose("bound", "layer").values
        bars = [(mean - low).clip(0), (high - mean).clip(0)]
        panel.errorbar(layers, mean, bars, color=colour, fmt="none", capsize=2, linewidth=1)
    if "chance" in of_group:
        panel.axhline(float(of_group["chance"]), color=colour, linestyle=":", linewidth=1)


def cosine_matrix(matrix: xr.DataArray, word: str | None) -> Figure:
    """The matrix of one layer, group beside group, with the six pairs of projections outlined.

    matrix: (group, feature, other), of ``cosine.compute.cosine_matrix`` at one layer, labels of its
    features included. Undefined cosines are grey. Computed group by group; with more than
    LARGEST_PICTURE features squares of them are averaged.
    """
    groups = matrix.sizes["group"]
    figure = Figure(figsize=(5.5 * groups, 5.6), layout="constrained")
    panels = figure.subplots(1, groups, squeeze=False)[0]
    edges, heads, image = _edges(matrix), heads_in_words(_heads(matrix)), None
    for panel, group in zip(panels, matrix["group"].values, strict=True):
        values = matrix.sel(group=group).transpose("feature", "other").values
        step = -(-len(values) // LARGEST_PICTURE)
        picture = _averaged(values, step)
        panel.set_facecolor("0.6")
        image = panel.imshow(
            picture,
            cmap="RdBu_r",
            vmin=-1,
            vmax=1,
            extent=(0, len(picture) * step, len(picture) * step, 0),
            interpolation="nearest",
        )
        _outline_pairs(panel, edges)
        panel.set_title(f"{group_label(str(group), word)}, layer {int(matrix['layer'])}")
        panel.set_xlabel(f"feature (heads side by side{heads and ': '}{heads})")
    panels[0].set_ylabel("feature")
    if image is not None:
        figure.colorbar(image, ax=panels, shrink=0.8, pad=0.01).set_label("cosine over contexts")
    return figure


def _grid(
    result: xr.Dataset, word: str | None, title: str
) -> tuple[Figure, Iterator[tuple[Axes, str, str]]]:
    """Return a figure of panels, and the panels with pair of projections and group.

    Each row has the groups of three pairs; of more than two groups, of one pair.
    """
    groups = [str(group) for group in result["group"].values]
    abreast = PAIRS_ABREAST if len(groups) <= FEW_GROUPS else 1
    rows, columns = -(-result.sizes["projection_pair"] // abreast), abreast * len(groups)
    height = 3.0 if result.sizes["layer"] <= FEW_LAYERS else 5.0
    figure = Figure(figsize=(max(6.0, 2.2 * columns), height * rows), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    kinds = [(str(pair), group) for pair in result["projection_pair"].values for group in groups]
    for panel, (pair, group) in zip(axes.flat, kinds, strict=True):
        label = group_label(group, word, result.attrs.get("control"))
        panel.set_title(f"{pair}  {label}", fontsize=9)
    for panel in axes[-1]:
        panel.set_xlabel("cosine")
        panel.set_xticks([-1, 0, 1])
    for panel in axes[:, 0]:
        panel.set_ylabel("layer")
    return figure, (
        (panel, pair, group) for panel, (pair, group) in zip(axes.flat, kinds, strict=True)
    )


def _shares(result: xr.Dataset) -> xr.DataArray:
    """Return count over the defined pairs; 0 where there is none."""
    defined = result["pairs"] - result["undefined"]
    return result["count"] / defined.where(defined > 0, 1)


def _centres(result: xr.Dataset) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    edges = result["bin_edge"].values
    return np.asarray((edges[:-1] + edges[1:]) / 2)


def _layer_ticks(panel: Axes, result: xr.Dataset) -> None:
    layers = result["layer"].values
    shown = np.unique(np.linspace(0, len(layers) - 1, min(len(layers), 9)).round().astype(int))
    panel.set_yticks(shown, [str(layers[index]) for index in shown])


def _averaged(
    values: np.ndarray[tuple[int, int], np.dtype[np.float32]], step: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return the means of squares of ``step`` features a side; what is left over is cut off."""
    if step == 1:
        return values
    cut = len(values) // step * step
    squares = values[:cut, :cut].reshape(cut // step, step, cut // step, step)
    averaged: np.ndarray[tuple[int, int], np.dtype[np.float32]] = squares.mean((1, 3))
    return averaged


def _edges(matrix: xr.DataArray) -> list[int]:
    """Return where the features of Q, K and V begin, and where the last of them end."""
    projection = matrix["projection"].values
    counts = [int((projection == name).sum()) for name in "qkv"]
    return [0, *np.cumsum(counts).tolist()]


def _heads(matrix: xr.DataArray) -> dict[str, int]:
    """Return how many heads each projection has."""
    projection, head = matrix["projection"].values, matrix["head"].values
    return {name: len(np.unique(head[projection == name])) for name in "qkv"}


def _outline_pairs(panel: Axes, edges: Sequence[int]) -> None:
    """Draw what each block covers: a triangle within a projection, a rectangle between two.

    edges: where the features of Q, K and V begin, and where the last of them end.
    """
    for row, one in enumerate("QKV"):
        top, bottom = edges[row : row + 2]
        for column in range(row, 3):
            left, right = edges[column : column + 2]
            corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
            within = row == column
            shape = corners[:3] if within else corners
            panel.add_patch(Polygon(shape, fill=False, edgecolor="black", linewidth=1.2))
            # grouped-query attention has narrow blocks of keys and values
            size = LETTERS * min(right - left, bottom - top) / edges[-1]
            if size >= SMALLEST_LETTERS:
                x, y = (0.72, 0.28) if within else (0.5, 0.5)
                panel.text(
                    left + (right - left) * x,
                    top + (bottom - top) * y,
                    f"{one}{'QKV'[column]}",
                    ha="center",
                    va="center",
                    fontsize=min(size, LARGEST_LETTERS),
                    bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1.5},
                )
    narrow = edges[2] - edges[1] < NARROW * edges[-1]
    ticks = [edge for edge in edges if not narrow or edge != edges[2]]
    panel.set_xticks(ticks, [str(edge) for edge in ticks], rotation=90 if narrow else 0)
    panel.set_yticks(ticks, [str(edge) for edge in ticks])

"""The figures: a result in, a matplotlib Figure out; no window is opened. Colours are safe for the colour-blind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

GROUP_COLOURS = {"target": "#0072B2", "control": "#D55E00"}  # Okabe and Ito's blue and vermilion
PROJECTION_NAMES = {"q": "Query Q", "k": "Key K", "v": "Value V"}
FORMATS = ("png", "svg")


def variance_profile(result: xr.Dataset, word: str) -> Figure:
    """Variance of target and control tokens over blocks, a panel per projection, with the quartiles over features.

    result: of ``actlas.analysis.variance.variance_profile``.
    """
    figure = Figure(figsize=(10, 4.0), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, result.sizes["projection"])
    quartiles = result["feature_variance"].quantile([0.25, 0.75], dim=("head", "d_head"))
    for panel, projection in zip(panels, result["projection"].values, strict=True):
        for group, colour in GROUP_COLOURS.items():
            where = {"group": group, "projection": projection}
            low, high = quartiles.sel(where).values
            panel.fill_between(result["layer"], low, high, color=colour, alpha=0.18, linewidth=0)
            label = f"target “{word}”" if group == "target" else "control"
            panel.plot(result["layer"], result["variance"].sel(where), color=colour, marker="o", markersize=3, label=label)
        panel.set_title(PROJECTION_NAMES[str(projection)])
        panel.set_xlabel("block")
        panel.set_ylim(bottom=0)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel(f"variance over {result.sizes['pair']} tokens")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(f"How context enters the word “{word}”: mean over features, band from lower to upper quartile", fontsize=11)
    return figure


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Write ``figure`` beside ``path`` in every format, reproducibly; return the paths."""
    paths = [path.with_suffix(f".{kind}") for kind in FORMATS]
    with mpl.rc_context({"svg.hashsalt": "actlas", "svg.fonttype": "none"}):
        for target in paths:
            metadata = {"Date": None} if target.suffix == ".svg" else {"Software": "actlas"}
            figure.savefig(target, dpi=150, metadata=metadata)
    return paths

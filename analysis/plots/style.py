"""What all figures share: colours that are safe for the colour-blind, names, and how a figure is written."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

GROUP_COLOURS = {"target": "#0072B2", "control": "#D55E00"}  # Okabe and Ito's blue and vermilion
SERIES_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)  # of the same two, black and yellow left out
PROJECTION_NAMES = {"q": "Query Q", "k": "Key K", "v": "Value V"}
FORMATS = ("png", "svg")
DPI = 150


def group_label(group: str, word: str) -> str:
    """Return how a legend calls a group."""
    return f"target “{word}”" if group == "target" else "control"


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Write ``figure`` beside ``path`` in every format, reproducibly; return the paths."""
    paths = [path.with_suffix(f".{kind}") for kind in FORMATS]
    figure.set_dpi(DPI)
    figure.draw_without_rendering()  # finds the layout, once: ``savefig`` does so twice for each format
    figure.set_layout_engine("none")
    with mpl.rc_context({"svg.hashsalt": "actlas", "svg.fonttype": "none"}):
        FigureCanvasAgg(figure).print_png(paths[0], metadata={"Software": "actlas"})
        FigureCanvasSVG(figure).print_svg(paths[1], metadata={"Date": None})
    return paths

"""What panels are made of: lines with intervals, dots, maps, axes of layers and of orders.

Nothing here sets sizes of text or lines: these come from the style, of actlas or of the user.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis, YAxis
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from actlas.analysis.plots.style import GREY, MUTED, Look, short

Floats = npt.NDArray[np.float64]
MOST_MARKS = 26  # points of a line that are marked
MOST_TICKS = 8
WIDE = 20.0  # largest over smallest value from which on an axis is logarithmic
FAR = 5  # powers of ten from which on not every one has a tick
FEW_POWERS = 3  # of ten: an axis with more has no ticks between them
FEWEST_POWERS = 2  # of ten on an axis that has no other labels
BAND = 0.18  # opacity of a band
DIVERGING = "RdBu"  # blue above 0, red below


def line(panel: Axes, x: Any, y: Any, look: Look, label: str | None = None, **more: Any) -> Line2D:
    """Draw a line, its points marked where they are few."""
    marker = "o" if len(np.atleast_1d(x)) <= MOST_MARKS else ""
    style: dict[str, Any] = {"color": look.colour, "linestyle": look.line, "marker": marker}
    style |= more
    (drawn,) = panel.plot(np.asarray(x), np.asarray(y), label=label, **style)
    return drawn


def band(panel: Axes, x: Any, bounds: Any, colour: str) -> None:
    """Shade what lies between two lines; bounds: (bound, x), lower and upper."""
    low, high = bounds
    panel.fill_between(x, low, high, color=colour, alpha=BAND, linewidth=0)


def bars(panel: Axes, x: Any, mean: Any, bounds: Any, colour: str) -> None:
    """Draw intervals around ``mean``; bounds: (bound, x), lower and upper."""
    mean, (low, high) = np.asarray(mean), np.asarray(bounds)
    # the mean lies outside its own bounds now and then; a bar has no negative length
    reach = np.nan_to_num([mean - low, high - mean]).clip(0)
    panel.errorbar(x, mean, reach, color=colour, fmt="none", linewidth=1)


def dots(
    panel: Axes, x: Any, values: Any, look: Look, bounds: Any = None, label: str | None = None
) -> None:
    """Draw points with their intervals; bounds: (bound, x) or None."""
    if bounds is not None:
        bars(panel, x, values, bounds, look.colour)
    face = look.colour if look.line == "-" else "white"
    style: dict[str, Any] = {"linestyle": "none", "marker": "o", "color": look.colour}
    panel.plot(x, values, label=label, markerfacecolor=face, **style)


def entry(label: str, colour: str = MUTED, **style: Any) -> Line2D:
    """Return an entry of a legend: a line without points."""
    return Line2D([], [], color=colour, label=label, **style)


def swatches(interval: str = "", shaded: str = "", dotted: str = "") -> list[Artist]:
    """Return entries of a legend that say what intervals, bands and dotted lines are."""
    found: list[Artist] = []
    if interval:
        found.append(entry(interval, marker="|", markersize=8, linestyle="none"))
    if shaded:
        found.append(Patch(facecolor=MUTED, alpha=2 * BAND, linewidth=0, label=shaded))
    if dotted:
        found.append(entry(dotted, linestyle=":"))
    return found


def legend_in(panel: Axes, more: Sequence[Artist] = ()) -> None:
    """Draw a legend into the panel, of its named lines and ``more``."""
    handles = [*panel.get_legend_handles_labels()[0], *more]
    if handles:
        panel.legend(handles=handles, fontsize="small", frameon=True, framealpha=0.8, edgecolor="w")


def zero_line(panel: Axes) -> None:
    """Draw where a number is 0."""
    panel.axhline(0, color=GREY, linewidth=0.7, zorder=0.5)


def layer_axis(panel: Axes, name: str) -> None:
    """Let ``x`` count layers or depths: whole numbers, few of them."""
    panel.set_xlabel(name)
    panel.xaxis.set_major_locator(MaxNLocator(MOST_TICKS, integer=True, steps=[1, 2, 4, 5, 10]))


def layer_rows(panel: Axes, layers: Iterable[int]) -> None:
    """Label the rows of a map by their layers, some of them where there are many."""
    numbers = [int(layer) for layer in layers]
    step = -(-len(numbers) // MOST_TICKS)
    panel.set_yticks(range(0, len(numbers), step), [str(each) for each in numbers[::step]])


def heat(panel: Axes, values: Any, **style: Any) -> AxesImage:
    """Draw a map, the first row below; files of vectors get a pixel a cell."""
    fixed: dict[str, Any] = {"aspect": "auto", "origin": "lower", "interpolation": "none"}
    return panel.imshow(values, **(fixed | style))


def balanced(values: Any) -> dict[str, Any]:
    """Return the colours of a map whose middle is 0."""
    finite = np.asarray(values)[np.isfinite(values)]
    most = float(np.abs(finite).max(initial=0.0)) or 1.0
    return {"cmap": DIVERGING, "vmin": -most, "vmax": most}


def by_orders(axis: Axis, values: Any) -> bool:
    """Make an axis logarithmic where its values differ by orders; return whether they do.

    Where some are 0 or below, it is linear around 0. Else the axis begins at 0, if none is below.
    """
    numbers = np.asarray(values, dtype=np.float64)
    sizes = np.abs(numbers[np.isfinite(numbers)])
    sizes, signed = sizes[sizes > 0], bool((numbers <= 0).any())
    if not len(sizes) or sizes.max() <= WIDE * np.quantile(sizes, 0.1 if signed else 0.0):
        if not (numbers < 0).any() and isinstance(axis, YAxis):
            axis.axes.set_ylim(bottom=0)
        return False
    if signed:
        _signed(axis, numbers, float(np.quantile(sizes, 0.1)))
    else:
        log_axis(axis)
    return True


def log_axis(axis: Axis) -> None:
    """Make an axis logarithmic, its numbers written as such where they are short."""
    _set_scale(axis, "log")
    low, high = axis.get_view_interval()
    powers = math.floor(math.log10(high)) - math.ceil(math.log10(low)) + 1
    axis.set_major_locator(LogLocator(numticks=MOST_TICKS))
    if powers > FEW_POWERS:
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    # those between powers of ten have labels where powers of ten are few
    axis.set_minor_formatter(Between() if powers < FEWEST_POWERS else NullFormatter())


class Between(LogFormatter):
    """Labels of numbers between powers of ten, of fewer the more there are."""

    def __init__(self) -> None:
        super().__init__(minor_thresholds=(2, 0.5))

    def __call__(self, value: float, position: int | None = None) -> str:
        """Return the label of a tick."""
        return short(value) if super().__call__(value, position) else ""


def _signed(axis: Axis, numbers: Floats, smallest: float) -> None:
    """Make an axis linear up to about ``smallest``, and logarithmic beyond."""
    least = math.floor(math.log10(smallest))
    _set_scale(axis, "symlog", linthresh=10.0**least, linscale=0.5)
    finite = numbers[np.isfinite(numbers)]
    ticks = [0.0]
    for sign in (-1, 1):
        most = float((sign * finite).max(initial=0.0))
        if most > 10.0**least:
            powers = range(least, math.ceil(math.log10(most)) + 1)
            ticks += [sign * 10.0**power for power in powers[:: -(-len(powers) // FAR)]]
    axis.set_major_locator(FixedLocator(sorted(ticks)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def _set_scale(axis: Axis, scale: str, **more: Any) -> None:
    set_scale = axis.axes.set_yscale if isinstance(axis, YAxis) else axis.axes.set_xscale
    set_scale(scale, **more)

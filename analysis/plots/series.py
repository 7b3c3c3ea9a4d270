"""Series of numbers, such as layers that are skipped or factors: colours with a colour bar.

Which numbers differ between the variants of a sweep is read from the texts of their edits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize, to_hex

from actlas.analysis.data.doses import FEWEST, varied
from actlas.analysis.plots.marks import MOST_TICKS, WIDE
from actlas.analysis.plots.sheet import tidy_bar
from actlas.analysis.plots.style import short

BRIGHTEST = 0.9  # of viridis: beyond, lines are lost on white
SEQUENCE = LinearSegmentedColormap.from_list(
    "actlas", mpl.colormaps["viridis"](np.linspace(0, BRIGHTEST, 64))
)


@dataclass(frozen=True)
class Series:
    """A number of each line, and what it is called."""

    name: str
    numbers: npt.NDArray[np.float64]

    @property
    def mappable(self) -> ScalarMappable:
        """What a colour bar names: numbers that differ by orders on a logarithmic scale."""
        low, high = float(self.numbers.min()), float(self.numbers.max())
        wide = low > 0 and high >= WIDE * low and self.name != "layer"
        return ScalarMappable((LogNorm if wide else Normalize)(low, high), SEQUENCE)

    @property
    def colours(self) -> list[str]:
        """The colour of each line."""
        return [to_hex(colour) for colour in self.mappable.to_rgba(self.numbers)]

    def ticks(self, bar: Colorbar) -> None:
        """Put the ticks of a colour bar at the numbers, where these are few."""
        distinct = np.unique(self.numbers)
        step = -(-len(distinct) // MOST_TICKS)
        chosen = distinct[::step]
        gaps = np.diff(np.asarray(bar.norm(chosen)))
        if step == 1 and len(gaps) and gaps.min() < 0.5 / MOST_TICKS:
            return  # too near to each other to be told apart
        bar.set_ticks(chosen.tolist(), labels=[short(float(each)) for each in chosen])

    def bar_beside(self, panel: Axes) -> None:
        """Draw the colour bar at the right of one panel, taking its room."""
        figure = panel.get_figure()
        if figure is not None:
            bar = tidy_bar(figure.colorbar(self.mappable, ax=panel, fraction=0.06, pad=0.03))
            bar.set_label(self.name)
            self.ticks(bar)


def series_of(texts: Sequence[str], most: int) -> Series | None:
    """Return the series that edits are, None where a legend of at most ``most`` names them."""
    columns = varied(texts)
    if columns:
        name = "layer" if "layer" in columns else next(iter(columns))
        if len(np.unique(columns[name])) >= FEWEST:
            return Series(name, columns[name])
    if len(texts) <= most:
        return None
    return Series("variant, in the order of the table", np.arange(len(texts), dtype=np.float64))

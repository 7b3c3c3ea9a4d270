"""Panels on a sheet whose margins are counted in inches.

No layout engine: it takes longer than drawing does.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from actlas.analysis.plots.style import short, shown

LINE = 0.165  # inches a line of text takes
LETTER, TITLE_LETTER = 0.064, 0.073  # inches a letter of a legend and of a title takes, about
HANDLE = 0.53  # inches that the line and the gaps of an entry take
EDGE = 0.1  # inches between text and the edge of the sheet
BAR, BAR_GAP, BAR_TEXT = 0.1, 0.12, 0.62  # inches of a colour bar
TALLEST_BAR = 2.6
LABEL_ACROSS, LABEL_DOWN = 0.46, 0.22  # inches from a panel to its labels
FEW = 8  # panels
NARROWEST = 3.2  # inches: below, no title fits


@dataclass(frozen=True)
class Room:
    """Inches of a panel, and of what stands between panels and around them."""

    width: float = 2.9
    height: float = 2.2
    across: float = 0.25  # between panels of a row
    down: float = 0.5  # between rows
    left: float = 0.68
    right: float = 0.15
    bottom: float = 0.44
    panel_title: bool = True
    words: str = ""  # axes whose ticks are words of any length: their label finds its place behind


class Sheet:
    """A figure of equal panels, with a title above, a legend below, a colour bar at the right.

    panels: (row, column) of Axes. ``done`` measures what was added, and gives every part its place.
    """

    def __init__(self, rows: int, columns: int, room: Room = Room(), **shared: Any) -> None:
        self.room, self.shape, self.figure = room, (rows, columns), Figure()
        self.panels: np.ndarray[Any, Any] = self.figure.subplots(
            rows, columns, squeeze=False, **shared
        )
        if rows * columns > FEW:  # ticks without labels, which take as long as those with them
            self._hide_inner(**shared)
        self._entries: tuple[list[Any], list[str]] = ([], [])
        self._bars: list[tuple[ScalarMappable, str]] = []
        self.colour_bars: list[Colorbar] = []
        self.ticks_of_bar: Callable[[Colorbar], None] | None = None  # of the first bar

    @property
    def flat(self) -> list[Axes]:
        """All panels, row by row."""
        return [panel for row in self.panels for panel in row]

    def each(self, count: int) -> list[Axes]:
        """Return the first panels; the others are taken off the sheet."""
        for panel in self.flat[count:]:
            panel.remove()
        for place in range(max(0, count - self.shape[1]), count):  # none below has tick labels
            self.flat[place].xaxis.set_visible(True)
            self.flat[place].tick_params(labelbottom=True)
        return self.flat[:count]

    def _hide_inner(self, *, sharex: bool = False, sharey: bool = False) -> None:
        for panel in self.panels[:-1].flat if sharex else ():
            panel.xaxis.set_visible(False)
        for panel in self.panels[:, 1:].flat if sharey else ():
            panel.yaxis.set_visible(False)

    def legend(self, handles: Sequence[Artist], labels: Sequence[str] | None = None) -> None:
        """Let a legend below the panels name ``handles``."""
        named = [str(handle.get_label()) for handle in handles] if labels is None else labels
        self._entries = (list(handles), [shown(label, 120) for label in named])

    def bar(self, mappable: ScalarMappable, label: str) -> None:
        """Let a colour bar at the right of all panels name colours; a second stands below it."""
        self._bars.append((mappable, label))

    def done(self, title: str) -> Figure:
        """Return the figure, all parts in their places."""
        room, (rows, columns) = self.room, self.shape
        extra = BAR_GAP + BAR + BAR_TEXT if self._bars else 0.0
        width = room.left + columns * room.width + (columns - 1) * room.across + extra + room.right
        width = max(width, NARROWEST)
        lines = _wrapped(title, (width - 2 * EDGE) / TITLE_LETTER)
        legend_rows, legend_columns = self._legend_grid(width)
        top = EDGE + len(lines) * LINE + (LINE + 0.1 if room.panel_title else 0.1)
        bottom = room.bottom + (legend_rows * LINE + 0.5 * EDGE if legend_rows else 0.0)
        height = top + rows * room.height + (rows - 1) * room.down + bottom
        self.figure.set_size_inches(width, height)
        right = width - extra - room.right
        self.figure.subplots_adjust(
            left=room.left / width,
            right=right / width,
            top=1 - top / height,
            bottom=bottom / height,
            wspace=room.across / room.width,
            hspace=room.down / room.height,
        )
        self._drop_inner_labels()
        self._place_labels(width, height)
        for row, text in enumerate(lines):  # a text has no line breaks: see ``shown``
            x, y = EDGE / width, 1 - (EDGE + row * LINE) / height
            style: dict[str, Any] = {"ha": "left", "va": "top", "fontsize": 10}
            if row:
                self.figure.text(x, y, text, **style)
            else:
                self.figure.suptitle(text, x=x, y=y, **style)
        if legend_rows:
            self._draw_legend(width, height, legend_columns)
        inner = rows * room.height + (rows - 1) * room.down
        self._draw_bars(right + BAR_GAP, height - top, inner)
        return self.figure

    @property
    def _there(self) -> list[Axes]:
        """The panels that were not taken off the sheet."""
        return [panel for panel in self.flat if panel.get_figure() is not None]

    def _drop_inner_labels(self) -> None:
        """Leave labels of shared axes to the outermost panels."""
        for panel in self._there:
            labels = panel.xaxis.get_tick_params(), panel.yaxis.get_tick_params()
            if not labels[0].get("labelbottom", True):
                panel.set_xlabel("")
            if not labels[1].get("labelleft", True):
                panel.set_ylabel("")

    def _place_labels(self, width: float, height: float) -> None:
        """Put labels of axes where tick labels leave them room: in line, and without a search."""
        for panel in self._there:
            box = panel.get_position()
            across, down = LABEL_ACROSS / (box.width * width), LABEL_DOWN / (box.height * height)
            if "y" not in self.room.words:
                panel.yaxis.set_label_coords(-across, 0.5)
            if "x" not in self.room.words:
                panel.xaxis.set_label_coords(0.5, -down)

    def _legend_grid(self, width: float) -> tuple[int, int]:
        """Return rows and columns of the legend."""
        labels = self._entries[1]
        if not labels:
            return 0, 0
        wide = [_letters(label) * LETTER + HANDLE for label in labels]
        for columns in range(len(labels), 0, -1):  # the most that fit
            taken = sum(max(column) for column in np.array_split(wide, columns))
            if taken <= width - 2 * EDGE or columns == 1:
                break
        return -(-len(labels) // columns), columns

    def _draw_legend(self, width: float, height: float, columns: int) -> None:
        handles, labels = self._entries
        most = int((width - 2 * EDGE - HANDLE) / LETTER)
        self.figure.legend(
            handles,
            [shown(label, most) for label in labels],
            loc="lower left",
            bbox_to_anchor=(EDGE / width, 0.4 * EDGE / height),
            ncols=columns,
            borderaxespad=0,
        )

    def _draw_bars(self, left: float, top: float, inner: float) -> None:
        """Draw the colour bars, ``inner`` inches for all of them from ``top`` down."""
        width, height = self.figure.get_size_inches()
        for place, (mappable, label) in enumerate(self._bars):
            part = inner / len(self._bars)
            tall = min(part - 0.15 * (len(self._bars) > 1), TALLEST_BAR)
            bottom = top - place * part - tall
            inches = (left / width, bottom / height, BAR / width, tall / height)
            bar = tidy_bar(self.figure.colorbar(mappable, cax=self.figure.add_axes(inches)))
            bar.set_label(label)
            if self.ticks_of_bar is not None and not place:
                self.ticks_of_bar(bar)
            self.colour_bars.append(bar)


def tidy_bar(bar: Colorbar) -> Colorbar:
    """Return a colour bar without outline and minor ticks, powers of ten written as such."""
    bar.outline.set_linewidth(0)
    if isinstance(bar.norm, (LogNorm, SymLogNorm)):
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    bar.ax.minorticks_off()
    return bar


def _letters(text: str) -> float:
    """Return how wide a text is, in letters; those of East Asia take two."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def _wrapped(title: str, letters: float) -> list[str]:
    return textwrap.wrap(title, max(12, int(letters)))

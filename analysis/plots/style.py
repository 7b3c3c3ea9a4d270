"""What all figures share.

Colours that are safe for the colour-blind, names, and how a figure is written.

Text comes from anywhere: words, labels of columns, names of files. Here it becomes text that every
figure can hold.
"""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import Formatter, NullFormatter

from actlas.store.io.replacing import replacing

# of Okabe and Ito, black and yellow left out
SERIES_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
PROJECTION_NAMES = {"q": "Query Q", "k": "Key K", "v": "Value V"}
FORMATS = ("png", "svg")
DPI = 150
MARK = "�"  # in place of what cannot be drawn or written
MOST_LABELS = 13  # of the rows of a map
LONGEST = 60  # characters of a name from the data
LONGEST_TEXT = 400  # of any text: more than we write ourselves
#: of Unicode: control, surrogate, not assigned (XML has none of some), separators of lines
UNDRAWN = ("Cc", "Cs", "Cn", "Zl", "Zp")
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
POWER = re.compile(r"\$\\mathdefault\{(.*?)\^\{(-?[0-9]+)\}\}\$")
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


#: how controls are chosen → what a legend says of it
CONTROLS = {"previous": "token before", "random": "earlier token", "matched": "same position"}


def shown(text: str, longest: int = LONGEST) -> str:
    """Return ``text`` from the data as a figure shows it.

    On one line, a mark for each control character, cut with ``…``.
    """
    plain = "".join(
        MARK if unicodedata.category(character) in UNDRAWN else character
        for character in text[: longest + 1]
    )
    plain = plain if len(plain) <= longest else f"{plain[: longest - 1]}…"
    # of which matplotlib's legends would say nothing
    return f" {plain}" if plain.startswith("_") else plain


def label_layers(panel: Axes, layers: Iterable[int]) -> None:
    """Label the rows of a map by their layers, some of them where there are many."""
    numbers = [int(layer) for layer in layers]
    step = -(-len(numbers) // MOST_LABELS)
    panel.set_yticks(range(0, len(numbers), step), [str(each) for each in numbers[::step]])


def projection_label(projection: str, heads: Mapping[str, int]) -> str:
    """Return how a panel calls ``q``, ``k`` or ``v``.

    heads: of each projection; said where they differ, as of grouped-query attention.
    """
    name, count = PROJECTION_NAMES[projection], heads[projection]
    if len(set(heads.values())) == 1:
        return name
    return f"{name} ({count} head{'s' if count > 1 else ''})"


def group_colours(groups: Iterable[object]) -> dict[str, str]:
    """Return a colour for each group, in their order; after the last the first comes again."""
    names = map(str, groups)
    return {name: SERIES_COLOURS[at % len(SERIES_COLOURS)] for at, name in enumerate(names)}


def group_label(group: str, word: str | None, control: object = None) -> str:
    """Return how a legend calls a group.

    word: the target, where there is one. control: the option of that name, where the result has it.
    """
    if word is None or group not in ("target", "control"):
        return shown(group)
    if group == "target":
        return f"target “{shown(word)}”"
    kind = CONTROLS.get(str(control))
    return f"control: {kind}" if kind else "control"


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Write ``figure`` beside ``path`` in every format, reproducibly; return the paths."""
    contents = figure_files(figure)
    with replacing(path.parent) as files:
        for form, content in contents.items():
            files.add(f"{path.stem}.{form}", [content])
    return [path.with_suffix(f".{form}") for form in contents]


def figure_files(figure: Figure) -> dict[str, bytes]:
    """Return ``figure`` as a file of each format, reproducibly.

    Its texts are taken as they are, never as mathtext.
    """
    figure.set_dpi(DPI)
    png, svg = io.BytesIO(), io.StringIO()
    with _plain_texts(figure):
        # finds the layout, once and without drawing: ``savefig`` does so twice for each format
        if (layout := figure.get_layout_engine()) is not None:
            layout.execute(figure)
            figure.set_layout_engine("none")
        # the least compression: files are a third larger, and take a third of the time
        FigureCanvasAgg(figure).print_png(
            png, metadata={"Software": "actlas"}, pil_kwargs={"compress_level": 1}
        )
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None})
    return {"png": png.getvalue(), "svg": NOT_XML.sub(MARK, svg.getvalue()).encode()}


@contextmanager
def _plain_texts(figure: Figure) -> Iterator[None]:
    """Make every text of ``figure`` plain.

    Those that are there, and those that ticks get when they are drawn.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text(shown(text.get_text(), LONGEST_TEXT))
    for panel in figure.axes:
        _plain_ticks(panel)
    plain = mpl.rc_context(
        {"text.parse_math": False, "svg.hashsalt": "actlas", "svg.fonttype": "none"}
    )
    with plain, warnings.catch_warnings():
        # an SVG has the text and leaves it to the reader's fonts; a PNG has an empty box, as the
        # font has no such letter
        warnings.filterwarnings(
            "ignore", r"Glyph .* missing from|Matplotlib currently does not support", UserWarning
        )
        yield


def _plain_ticks(panel: Axes) -> None:
    for axis in (panel.xaxis, panel.yaxis):
        for get, put in (
            (axis.get_major_formatter, axis.set_major_formatter),
            (axis.get_minor_formatter, axis.set_minor_formatter),
        ):
            if not isinstance(get(), (PlainTicks, NullFormatter)):  # panels may share one
                put(PlainTicks(get()))


class PlainTicks(Formatter):
    """The labels of another formatter as plain text.

    A power of ten, which matplotlib writes as mathtext, is ``10⁻⁸``.
    """

    def __init__(self, inner: Formatter) -> None:
        self.inner = inner

    def __call__(self, value: float, position: int | None = None) -> str:
        """Return the label of a tick."""
        label = self.inner(value, position)
        power = POWER.fullmatch(label)
        return shown(
            f"{power[1]}{power[2].translate(SUPERSCRIPTS)}".replace(r"\times", "×")
            if power
            else label
        )

    def set_axis(self, axis: Any) -> None:
        """Tell both of the axis."""
        super().set_axis(axis)
        self.inner.set_axis(axis)

    def set_locs(self, locs: Any) -> None:
        """Tell both where the ticks are."""
        super().set_locs(locs)
        self.inner.set_locs(locs)

    def get_offset(self) -> str:
        """Return what stands at the end of the axis."""
        return shown(self.inner.get_offset())

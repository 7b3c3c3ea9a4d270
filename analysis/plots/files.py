"""How a figure is written: one drawing as PNG, SVG and PDF, the same bytes each time."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import Formatter, NullFormatter

from actlas.analysis.plots.style import MARK, SUPERSCRIPTS, house_style, shown
from actlas.store.io.replacing import replacing

FORMATS = ("png", "svg")  # of every figure that a command writes
DPI = 150
LONGEST_TEXT = 400  # characters of any text: more than we write ourselves
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
PLACES = re.compile(r' (?:d|x|y)="[^"]*"')  # of an SVG
DECIMALS = re.compile(r"(\.\d\d)\d+")
POWER = re.compile(r"\$\\mathdefault\{(.*?)\^\{(-?[0-9]+)\}\}\$")


def save_figure(figure: Figure, path: Path, forms: Sequence[str] = (*FORMATS, "pdf")) -> list[Path]:
    """Write ``figure`` beside ``path`` in every format, reproducibly; return the paths.

    forms: of ``png``, ``svg`` and ``pdf``.
    """
    contents = figure_files(figure, forms)
    with replacing(path.parent) as files:
        for form, content in contents.items():
            files.add(f"{path.stem}.{form}", [content])
    return [path.with_suffix(f".{form}") for form in contents]


def figure_files(figure: Figure, forms: Sequence[str] = FORMATS) -> dict[str, bytes]:
    """Return ``figure`` as a file of each format, reproducibly.

    Its texts are taken as they are, never as mathtext. forms: of ``png``, ``svg`` and ``pdf``.
    """
    figure.set_dpi(DPI)
    with _plain_texts(figure):
        # finds the layout, once and without drawing: ``savefig`` does so twice for each format
        if (layout := figure.get_layout_engine()) is not None:
            layout.execute(figure)
            figure.set_layout_engine("none")
        return {form: WRITERS[form](figure) for form in forms}


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    # the least compression: files are a third larger, and take a third of the time
    FigureCanvasAgg(figure).print_png(
        content, metadata={"Software": "actlas"}, pil_kwargs={"compress_level": 1}
    )
    return content.getvalue()


def _svg(figure: Figure) -> bytes:
    content = io.StringIO()
    FigureCanvasSVG(figure).print_svg(content, metadata={"Date": None})
    # a hundredth of a point is enough, and half as long
    short = PLACES.sub(lambda found: DECIMALS.sub(r"\1", found[0]), content.getvalue())
    return NOT_XML.sub(MARK, short).encode()


def _pdf(figure: Figure) -> bytes:
    # its writer reads fonts, which takes longer than all else of importing matplotlib
    from matplotlib.backends.backend_pdf import FigureCanvasPdf

    content = io.BytesIO()
    FigureCanvasPdf(figure).print_pdf(content, metadata={"Creator": "actlas", "CreationDate": None})
    return content.getvalue()


WRITERS: Mapping[str, Callable[[Figure], bytes]] = {"png": _png, "svg": _svg, "pdf": _pdf}


@contextmanager
def _plain_texts(figure: Figure) -> Iterator[None]:
    """Make every text of ``figure`` plain.

    Those that are there, and those that ticks get when they are drawn.
    """
    for artist in _parts(figure):
        if isinstance(artist, Text):
            artist.set_parse_math(False)
            artist.set_text(shown(artist.get_text(), LONGEST_TEXT))
        elif isinstance(artist, Axis):
            _plain_ticks(artist)
    with house_style(), warnings.catch_warnings():
        # an SVG has the text and leaves it to the reader's fonts; a PNG has an empty box, as the
        # font has no such letter
        warnings.filterwarnings(
            "ignore", r"Glyph .* missing from|Matplotlib currently does not support", UserWarning
        )
        yield


def _parts(artist: Artist) -> Iterator[Artist]:
    """Yield what ``artist`` is made of, and of axes the texts and ticks that are there already.

    ``findobj`` would have every axis look for its ticks, which takes as long as drawing.
    """
    if isinstance(artist, Axis):
        yield from (artist, artist.label, artist.offsetText)
        for ticks in (vars(artist).get(f"{kind}Ticks", ()) for kind in ("major", "minor")):
            for tick in ticks:
                yield from (tick.label1, tick.label2)
        return
    yield artist
    for child in artist.get_children():
        yield from _parts(child)


def _plain_ticks(axis: Axis) -> None:
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

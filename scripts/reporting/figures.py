"""A figure on the page: its chart, and the picture for paper and for readers without script."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from actlas.analysis.declaring import Caption
from actlas.scripts.charts.embedding import Datasets
from actlas.scripts.reporting.results import Result
from actlas.scripts.reporting.svg import LARGEST, inline_svg
from actlas.store.errors import ActlasError
from actlas.store.io.safe_open import read_input

SMALL_SVG = 24_000  # characters, below which no smaller picture is looked for
MOST_PIXELS = 60_000_000
#: width in pixels and colours of a picture: one that is read, one that stands for a chart on paper,
#: one at the beginning of the page; of a picture that is noise to the eye, fewer
INCH = 96 / 150  # pixels of CSS for one of a PNG of matplotlib
READ = (1200, 96), (1000, 48), (900, 24), (700, 16)
PRINTED, SMALL = READ[1:], (360, 24)
MOST_BYTES = 120_000  # of a picture on a page, where fewer pixels and colours can hold it


@dataclass(frozen=True)
class Drawing:
    """A figure on the page.

    picture: SVG or an image, None for a chart that has none. chart: its specification as JSON, None
    without. chart_title: what the chart shows. small: a smaller image, where the picture is one.
    """

    title: str
    note: str
    picture: Markup | None
    chart: Markup | None = None
    chart_title: str = ""
    small: Markup | None = None


@dataclass(frozen=True)
class Shrunk:
    """A PNG, its size in pixels, and how wide the figure is on a screen."""

    content: bytes
    size: tuple[int, int]
    natural: int


def drawings(section: str, result: Result, datasets: Datasets) -> Iterator[Drawing]:
    """Yield the figures of a result, then the charts that no figure stands for.

    section: id of the section of the page. datasets: of the page, which those of charts are added
    to. Raises ActlasError for a figure that is none.
    """
    charts = dict(result.study.charts(result.described)) if result.study else {}
    for kind, path in result.figures:
        caption, chart = result.captions[kind], charts.pop(kind, None)
        picture, small = _picture(f"{section}-{kind or 'figure'}", path, caption, chart is not None)
        about = _chart(chart, datasets)
        yield Drawing(caption.title, caption.note, picture, *about, small)
    for chart in charts.values():
        about = _chart(chart, datasets)
        yield Drawing(about[1], "", None, *about)


def _chart(spec: Mapping[str, Any] | None, datasets: Datasets) -> tuple[Markup | None, str]:
    if spec is None:
        return None, ""
    return datasets.embed(spec), str(spec.get("description", ""))


def _picture(
    prefix: str, path: Path, caption: Caption, charted: bool
) -> tuple[Markup, Markup | None]:
    """Return the smaller of the SVG and the PNG beside it; of a PNG a thumbnail too."""
    svg = inline_svg(path, prefix, caption.title, caption.note)
    png = path.with_suffix(".png")
    if len(svg) <= SMALL_SVG or not png.is_file():
        return svg, None
    described = f"{caption.title}. {caption.note}"
    shrink = _shrinker(png)
    tried = (shrink(*each) for each in (PRINTED if charted else READ))
    made = next((each for each in tried if len(each.content) <= MOST_BYTES), None)
    image = _image(made or shrink(*READ[-1]), described, "drawing plate")
    if len(svg) <= len(image):
        return svg, None
    return image, _image(shrink(*SMALL), "", "small plate")


def _shrinker(path: Path) -> Callable[[int, int], Shrunk]:
    """Return what makes a PNG of at most a width and a number of colours from the one at ``path``.

    Raises ActlasError for what is no PNG, or too large for a page.
    """
    from PIL import Image, UnidentifiedImageError

    content = read_input(path, LARGEST, ActlasError)
    try:
        opened = Image.open(io.BytesIO(content), formats=("PNG",))
        if opened.width * opened.height > MOST_PIXELS:
            raise ValueError(f"{opened.width} × {opened.height} pixels")
        full = opened.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        reason = str(error)[:99]
        raise ActlasError(
            f"{path} is not a PNG for a page ({reason}): run its command again"
        ) from error

    def shrink(width: int, colours: int) -> Shrunk:
        size = full.size
        if full.width > width:
            size = width, max(1, round(full.height * width / full.width))
        scaled = full.resize(size, Image.Resampling.LANCZOS)
        palette = scaled.quantize(
            colours, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
        )
        written = io.BytesIO()
        palette.save(written, "PNG", compress_level=9)
        return Shrunk(written.getvalue(), size, round(full.width * INCH))

    return shrink


def _image(made: Shrunk, described: str, kind: str) -> Markup:
    data, (width, height) = base64.b64encode(made.content).decode(), made.size
    return Markup(
        '<img class="{}" width="{}" height="{}" style="--natural:{}px" alt="{}" '
        'src="data:image/png;base64,{}">'
    ).format(kind, width, height, made.natural, described, data)

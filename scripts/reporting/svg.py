"""Figures inside the page: an SVG file, cleaned of all that is not drawing.

Its ids become its own, its black and white those of the page. Files come from anywhere: an element
or attribute that is not listed here is left out, and a reference leads to the same figure or to a
picture within the file, nowhere else.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers.expat import ExpatError, ParserCreate

from markupsafe import Markup

from actlas.store.errors import ActlasError, quoted
from actlas.store.io.safe_open import read_input

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
# of matplotlib's
ELEMENTS = frozenset(
    ("svg", "g", "defs", "path", "use", "rect", "text", "tspan", "image", "clipPath")
)
GEOMETRY = ("d", "x", "y", "width", "height", "viewBox", "transform", "clip-path")
STYLES = re.compile(
    r"(?:fill|stroke|opacity|clip|font|text|stop|display|visibility|letter-spacing|image-rendering|mix-blend-mode|isolation)[a-z-]*"
)
# only data in the file itself: a page must not ask another host for anything
PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=\s]*")
LOCAL = re.compile(r"url\(\s*#([\w.:-]+)\s*\)")
#: what matplotlib draws on white becomes the page's: its ground, its ink, its grey, its two
#: colours, so that a figure is read as well on a dark page
COLOURS = {
    "#ffffff": "var(--paper)",
    "#000000": "var(--ink)",
    "#444444": "var(--muted)",
    "#0072b2": "var(--target)",
    "#d55e00": "var(--control)",
}
LARGEST = 64_000_000  # bytes
MOST_ELEMENTS = 300_000
DEEPEST = 40  # elements within each other; matplotlib's are a dozen


def inline_svg(path: Path, prefix: str, title: str, description: str) -> Markup:
    """Return the figure at ``path`` as an element for a page.

    prefix: put before every id, so that figures on one page do not share them.
    title, description: for readers who cannot see it. Raises ActlasError for what is not SVG.
    """
    content = read_input(path, LARGEST, ActlasError)
    try:
        _Bounds().hold(content)
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ExpatError, ValueError, LookupError) as error:
        raise ActlasError(
            f"{path} is not SVG ({str(error)[:99]}): run its command again"
        ) from error
    if root.tag != f"{SVG}svg":
        raise ActlasError(
            f"{path} is not SVG (its root is {quoted(root.tag)}): run its command again"
        )
    drawn = _cleaned(root, prefix)
    # lines over a picture stay dark on light
    kind = "drawing" if drawn.find(".//image") is None else "drawing plate"
    size = drawn.attrib.pop("width", ""), drawn.attrib.pop("height", "")
    drawn.attrib |= {
        "role": "img",
        "aria-labelledby": f"{prefix}-title {prefix}-desc",
        "class": kind,
    }
    width = re.fullmatch(r"([\d.]+)pt", size[0])
    if width:
        # points to CSS pixels: 72 pt and 96 px an inch
        drawn.attrib["style"] = f"--natural:{float(width[1]) * 4 / 3:.0f}px"
    for place, (part, text) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(part, {"id": f"{prefix}-{part}"})
        element.text = text
        element.tail = "\n"
        drawn.insert(place, element)
    return Markup(ElementTree.tostring(drawn, encoding="unicode"))  # serialised, hence escaped


class _Bounds:
    """Looks through a file before it is read as a whole.

    It may have no definitions of its own, and no more elements than a figure can have.
    """

    def __init__(self) -> None:
        self.elements = self.depth = 0

    def hold(self, content: bytes) -> None:
        """Raise ValueError, or ExpatError for what is not XML."""
        parser = ParserCreate("utf-8")
        # expat calls back while it reads, so a bomb is refused before it has grown
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.StartDoctypeDeclHandler, parser.EntityDeclHandler = self._doctype, self._define
        parser.Parse(content, True)

    def _start(self, *_: object) -> None:
        self.elements += 1
        self.depth += 1
        if self.depth > DEEPEST or self.elements > MOST_ELEMENTS:
            raise ValueError(f"more than {MOST_ELEMENTS} elements, or {DEEPEST} within each other")

    def _end(self, _: object) -> None:
        self.depth -= 1

    def _doctype(self, _name: object, _system: object, _public: object, internal: int) -> None:
        # matplotlib's files have a document type without an internal subset; entities need one
        if internal:
            self._define()

    def _define(self, *_: object) -> None:
        raise ValueError("it defines entities or elements")


def _cleaned(element: ElementTree.Element, prefix: str) -> ElementTree.Element:
    """Return a copy with what is listed only.

    Names lose their namespace, which HTML knows by itself.
    """
    copy = ElementTree.Element(element.tag.removeprefix(SVG), _attributes(element, prefix))
    copy.text, copy.tail = element.text, element.tail
    for child in element:
        if (
            isinstance(child.tag, str)
            and child.tag.startswith(SVG)
            and child.tag.removeprefix(SVG) in ELEMENTS
        ):
            copy.append(_cleaned(child, prefix))
    return copy


def _attributes(element: ElementTree.Element, prefix: str) -> dict[str, str]:
    found = {}
    for name, value in element.attrib.items():
        if name == "id":
            found[name] = f"{prefix}-{value}"
        elif name in (HREF, "href"):
            if value.startswith("#"):
                found["href"] = f"#{prefix}-{value[1:]}"
            elif element.tag == f"{SVG}image" and PICTURE.fullmatch(value):
                found["href"] = value
        elif name == "style":
            found[name] = _style(value, prefix)
        elif name in GEOMETRY and (led := _referring(value, prefix)) is not None:
            found[name] = led
    return found


def _style(text: str, prefix: str) -> str:
    """Return the declarations of drawing."""
    kept = []
    for declaration in text.split(";"):
        name, _, value = declaration.partition(":")
        referring = _referring(value.strip(), prefix)
        if STYLES.fullmatch(name.strip()) and referring is not None:
            kept.append(f"{name.strip()}: {COLOURS.get(referring, referring)}")
    return "; ".join(kept)


def _referring(value: str, prefix: str) -> str | None:
    """Return ``value`` with its references led to ids with the prefix.

    None where one leads out of the figure.
    """
    led = LOCAL.sub(rf"url(#{prefix}-\1)", value)
    # what remains when references within the figure are taken out may name nothing else
    outside = LOCAL.sub("", value).lower()
    return (
        None
        if any(
            sign in outside
            for sign in ("url(", "image(", "image-set", "expression", "javascript", "\\", "@")
        )
        else led
    )

"""Figures, results and records from anywhere.

Read, or refused in one line, within bounds; ``corpus`` keeps what went wrong.
"""

import os
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actlas.analysis.results.files import read_result
from actlas.scripts.reporting.svg import DEEPEST, LARGEST, MOST_ELEMENTS, inline_svg
from actlas.scripts.study.record import read_record
from actlas.store.errors import ActlasError

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
READERS = {
    ".svg": lambda path: inline_svg(path, "p", "t", "d"),
    ".nc": read_result,
    ".json": read_record,
}
SVG = '<svg xmlns="http://www.w3.org/2000/svg">'


def refused(path):
    """Read a file that cannot be meant; return the line that says so."""
    start = time.process_time()
    with pytest.raises(ActlasError) as caught:
        READERS[path.suffix](path)
    assert time.process_time() - start < 5
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    assert line.startswith(str(path))
    assert len(line) < len(str(path)) + 300
    return line


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_the_corpus_is_refused_in_a_line(path):
    assert refused(path)


def nested(depth):
    return SVG + "<g>" * depth + "</g>" * depth + "</svg>"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (nested(DEEPEST), "elements"),
        (nested(1_000_000), "elements"),
        (SVG + "<g/>" * MOST_ELEMENTS + "</svg>", "elements"),
        (SVG + "<g>" * 2_000_000, "elements"),
        ("<" + "a" * 1_000_000 + "/>", "its root is"),
        ("<a>" * 10, "is not SVG"),
    ],
)
def test_figures_beyond_all_bounds(tmp_path, content, message):
    path = tmp_path / "a.svg"
    path.write_text(content)
    assert message in refused(path)


def test_a_figure_that_is_a_pipe_or_a_giant(tmp_path):
    os.mkfifo(tmp_path / "a.svg")
    assert "not a regular file" in refused(tmp_path / "a.svg")
    with (tmp_path / "b.svg").open("wb") as file:
        file.truncate(LARGEST + 1)
    assert "expected at most" in refused(tmp_path / "b.svg")


names = st.sampled_from(
    ["svg", "g", "path", "use", "image", "text", "script", "style", "a", "foreignObject", "x:y"]
)
attributes = st.dictionaries(
    st.sampled_from(["d", "x", "href", "style", "onload", "id", "transform", "clip-path"]),
    st.sampled_from(
        [
            "url(#a)",
            "javascript:alert(1)",
            "#a",
            "data:image/png;base64,AA",
            "fill: url(http://e.example)",
            "\\",
            "1",
        ]
    ),
    max_size=3,
)


@st.composite
def drawings(draw, depth=0):
    """Return an element as text, hostile or not."""
    inner = draw(st.lists(drawings(depth + 1), max_size=3)) if depth < 4 else []
    given_here = " ".join(f'{name}="{value}"' for name, value in draw(attributes).items())
    name = draw(names)
    text = draw(st.sampled_from(["", "&lt;b&gt;", "&#x1F926;", "a"]))
    return f"<{name} {given_here}>{text}{''.join(inner)}</{name}>"


@pytest.mark.slow
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawings() | st.text(max_size=100) | st.binary(max_size=100))
def test_any_figure_is_cleaned_or_refused(tmp_path, content):
    path = tmp_path / "a.svg"
    whole = (
        content
        if isinstance(content, bytes)
        else f'{SVG[:-1]} xmlns:x="y">{content}</svg>'.encode("utf-8", "replace")
    )
    path.write_bytes(whole)
    try:
        drawn = str(READERS[".svg"](path))
    except ActlasError as error:
        assert len(str(error).splitlines()) == 1
    else:
        for element in ElementTree.fromstring(drawn).iter():
            assert element.tag not in ("script", "style", "a", "foreignObject")
            assert not any(name.startswith("on") for name in element.attrib)
            assert not any(
                "http://e.example" in value or "javascript" in value
                for name, value in element.attrib.items()
                if name != "id"
            )


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"000000000010 actlas-result\n", b"\x89HDF\r\n\x1a\n"]),
)
def test_any_bytes_for_a_result_are_refused(tmp_path, content, known):
    path = tmp_path / "variance-a-00000000.nc"
    path.write_bytes(content + known)
    refused(path)

"""Any text in a figure: the figure is made, its SVG is XML.

The text stands there as it was given, or marked and cut.
"""

import io
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from actlas.analysis import figures
from actlas.analysis.data.group_names import FIRST, LATER
from actlas.analysis.norms.compute import STATISTICS
from actlas.analysis.plots.files import figure_files
from actlas.analysis.plots.style import LONGEST, MARK, shown

#: what went wrong once, and what may
TEXTS = (
    *(
        "$",
        "$$",
        "$\\frac",
        "$5 and $10",
        "a_b^c",
        "\\",
        "%",
        "{}",
        "<b>&amp;",
        "]]>",
        '"',
        "_hidden",
        "__",
        "-->",
    ),
    *(
        "\x00",
        "a\x1b[31mb",
        "\x7f",
        "\x85",
        "\ufffe",
        "\uffff",
        "\ud800",
        "\udcff",
        "\u2028",
        "a\nb\tc",
        "\r",
    ),
    *(
        "她",
        "क्षि",
        "שלום",
        "\u202eabc",
        "🤦🏽",
        "e\u0301\u0301\u0301",
        "\u200d",
        "x" * 10_000,
        " ",
        "",
    ),
)
anything = st.text(st.characters(exclude_categories=()), max_size=30) | st.sampled_from(TEXTS)


def texts_of(files):
    """Check that both files are what they are called; return the texts of the SVG."""
    Image.open(io.BytesIO(files["png"])).load()
    root = ElementTree.fromstring(files["svg"])
    return [
        "".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")
    ]


@pytest.mark.slow
@settings(max_examples=25)
@given(st.lists(anything, min_size=7, max_size=7))
def test_any_text_anywhere_in_a_figure(texts):
    figure = Figure()  # no room is made for seven long texts at once
    panel = figure.subplots()
    panel.plot([1, 2], [3, 4], label=f"n{texts[0]}")
    panel.set_title(texts[1])
    panel.set_xlabel(texts[2])
    panel.set_xticks([1, 2], [texts[3], texts[4]])
    panel.annotate(texts[5], (1, 3))
    panel.legend()
    figure.suptitle(texts[6])
    texts_of(figure_files(figure))


@pytest.mark.parametrize("text", TEXTS)
def test_what_went_wrong_once(text):
    figure = Figure()
    figure.subplots().set_title(text)
    assert texts_of(figure_files(figure))[-1:] in (
        [shown(text, 400)],
        [shown(text, 400).strip()],
        ["1.0"],
    )


@given(anything)
def test_a_text_is_shown_as_it_is_or_marked_and_cut(text):
    found = shown(text)
    assert len(found) <= LONGEST + 1
    assert (
        found.isprintable()
        or any(character not in text for character in found)
        or set(found) <= set(text)
    )
    if text.isascii() and text.isprintable() and len(text) <= LONGEST:
        assert found.strip() == text.strip()
    assert not any(ord(character) < 32 or 0xD800 <= ord(character) < 0xE000 for character in found)


def test_a_word_with_dollars_is_not_set_as_mathematics():
    figure = Figure()
    figure.subplots().set_title("from $5 to $10")
    assert "from $5 to $10" in texts_of(figure_files(figure))


def test_powers_of_ten_are_written_without_mathematics():
    figure = Figure()
    panel = figure.subplots()
    panel.plot([1, 2, 3], [1e-9, 1, 1e5])
    panel.set_yscale("log")
    texts = texts_of(figure_files(figure))
    assert {"10⁻⁹", "10⁻⁵", "10³"} <= set(texts), texts
    assert not any("$" in text or "mathdefault" in text for text in texts)


def norms(values):
    """Return a result of ``actlas norms`` with groups of these values."""
    groups = [FIRST, LATER, *values]
    shape = (len(groups), len(STATISTICS), 4)
    numbers = np.random.default_rng(0).random(shape) + 1
    coords = {"group": groups, "statistic": list(STATISTICS), "depth": np.arange(4)}
    tokens = xr.DataArray(np.arange(len(groups)), dims="group")
    return xr.Dataset(
        {"norm_resid": (("group", "statistic", "depth"), numbers), "tokens": tokens}, coords
    )


@pytest.mark.slow
@settings(max_examples=15)
@given(st.lists(anything, min_size=1, max_size=4, unique_by=lambda value: value.rstrip("\0")))
def test_every_value_of_a_column_has_its_line_in_the_legend(values):
    figure = figures.norm_groups(norms(values), "resid")
    named = [text for legend in figure.legends for text in legend.get_texts()]
    assert sum(text.get_text().endswith(" tokens)") for text in named) == 1 + len(values)
    texts = texts_of(figure_files(figure))
    assert sum(text.endswith(" tokens)") for text in texts) == 1 + len(values)


def test_no_text_of_a_figure_can_be_forgotten():
    figure = figures.norm_groups(norms(["$a", "b$"]), "resid")
    figure_files(figure)
    assert not any(text.get_parse_math() for text in figure.findobj(Text))


def test_control_characters_leave_a_mark():
    figure = figures.norm_groups(norms(["a\x1bb"]), "resid")
    assert f"a{MARK}b (2 tokens)" in texts_of(figure_files(figure))

"""Figures of any size: no warning, no legend that nobody reads, a label on every axis."""

import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from actlas.analysis.plots import STYLE, figure_files
from actlas.analysis.plots.style import house_style
from actlas.scripts.dev.figure_results import Sizes
from actlas.scripts.dev.figure_sheet import figures, panels

MOST_ENTRIES, MOST_KB = 8, 330
LARGEST = 20  # inches
NEAR = 0.01  # of a figure
NUMERIC = "−-0123456789.×⁰¹²³⁴⁵⁶⁷⁸⁹⁻"
SIZES = {
    "a large model": Sizes(80, 100, 2, 4, "both"),
    "one variant": Sizes(12, 1, 5, 4, "mixed"),
}
NAMES = sorted(set().union(*(figures(sizes) for sizes in SIZES.values())))


def legends_of(figure):
    return [each for each in figure.findobj(Legend) if isinstance(each, Legend)]


def unlabelled(figure):
    """Return the panels of which neither they nor a neighbour at the edge labels an axis."""
    panels = [(panel, panel.get_position()) for panel in figure.axes if panel.axison]
    bare = []
    for panel, box in panels:
        row = [
            each for each, other in panels if abs(other.y0 - box.y0) < NEAR and other.x0 <= box.x0
        ]
        column = [each for each, other in panels if abs(other.x0 - box.x0) < NEAR]
        words = any(text.get_text().strip(NUMERIC) for text in panel.get_yticklabels())
        if not words and not any(each.get_ylabel() for each in row):
            bare.append((panel.get_title(), "y"))
        is_bar = panel.get_subplotspec() is None or hasattr(panel, "_colorbar")
        if not is_bar and not any(each.get_xlabel() for each in column):
            bare.append((panel.get_title(), "x"))
    return bare


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", SIZES)
def test_every_figure_is_read_at_any_size(name, size):
    draw = figures(SIZES[size]).get(name)
    if draw is None:
        pytest.skip("the variants differ in no number")
    before = dict(mpl.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw()
        drawn = figure_files(figure, ("svg",))["svg"]
    assert dict(mpl.rcParams) == before
    assert all(len(each.get_texts()) <= MOST_ENTRIES for each in legends_of(figure))
    assert figure.get_suptitle()
    assert unlabelled(figure) == []
    assert len(drawn) < MOST_KB * 1000
    assert max(figure.get_size_inches()) < LARGEST
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert box.x1 <= figure.bbox.x1 + 1, "the legend is cut"
        assert box.y0 >= figure.bbox.y0 - 1, "the legend is cut"


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["constrained", None])
def test_panels_fit_into_a_figure_of_the_users(layout):
    sizes = Sizes(6, 5, 2, 4, "factors")
    drawn = panels(sizes)
    for start in range(0, len(drawn), 4):
        figure = Figure(figsize=(9, 7), layout=layout)
        grid = figure.subplots(2, 2).ravel()
        figure.suptitle("mine")
        for panel, (name, draw) in zip(grid, list(drawn.items())[start : start + 4], strict=False):
            draw(panel)
            assert panel.has_data(), name
            assert panel.get_xlabel() and panel.get_ylabel(), name
        assert figure.get_suptitle() == "mine"
        assert not figure.legends
        assert all(len(each.get_texts()) <= MOST_ENTRIES for each in legends_of(figure))
        figure_files(figure, ("svg",))


def test_the_users_settings_rule_in_their_own_panel():
    with mpl.rc_context({"lines.linewidth": 7.0}):
        panel = Figure().subplots()
        panels(Sizes(4))["cosine"](panel)
    assert panel.lines[0].get_linewidth() == 7.0
    with mpl.rc_context({"lines.linewidth": 7.0, "axes.grid": True}), house_style():
        assert mpl.rcParams["lines.linewidth"] < 2
        assert not mpl.rcParams["axes.grid"]


def test_the_style_is_a_file_for_matplotlib():
    settings = mpl.rc_params_from_file(STYLE, use_default_template=False)
    assert settings["svg.fonttype"] == "none"


def test_a_figure_is_a_pdf_too_and_the_same_each_time():
    drawn = [figures(Sizes(4))["variance"]() for _ in range(2)]
    one, two = (figure_files(figure, ("pdf",))["pdf"] for figure in drawn)
    assert one.startswith(b"%PDF") and one == two
    np.testing.assert_array_less(len(one), MOST_KB * 1000)

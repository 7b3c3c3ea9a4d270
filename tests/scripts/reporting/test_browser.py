"""The report in a real browser.

Nothing is asked for, nothing goes wrong, slider and tables do what they say.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.browser import browser, installed

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not installed(),
        reason="Chromium and chromedriver are not installed: apt-get install chromium-driver",
    ),
]
FIRST_COLUMN = (
    "return [...document.querySelectorAll(arguments[0] + ' tbody tr')].map(row => "
    "row.cells[arguments[1]].textContent)"
)


@pytest.fixture(scope="module")
def chromium():
    with browser() as session:
        yield session


@pytest.fixture
def opened(chromium, studied_once):
    """The browser, with the report just opened in it, and its logs emptied before."""
    chromium.resize(1280)
    chromium.log("browser"), chromium.log("performance")
    chromium.open(studied_once[0] / "actlas-small" / "report.html")
    return chromium


def test_it_opens_without_an_error_or_a_request(opened, studied_once):
    asked = [url for url in opened.requests() if not url.startswith("data:")]
    assert asked == [(studied_once[0] / "actlas-small" / "report.html").as_uri()]
    assert opened.log("browser") == []
    assert "A small study" in opened.run("return document.title")
    assert opened.run("return document.querySelectorAll('.drawing').length") > 10


def test_the_slider_redraws_by_keyboard(opened):
    paths = (
        "return [...document.querySelectorAll('.panels path')].map(path => path.getAttribute('d'))"
    )
    titles = (
        "return [...document.querySelectorAll('.panels title')].map(title => title.textContent)"
    )
    first = opened.run(paths)
    assert len(first) == 12
    assert all("layer 0;" in title for title in opened.run(titles))
    opened.press("input[type=range]", "right")
    assert opened.run("return document.querySelector('output').textContent") == "1"
    assert (
        opened.run(
            "return document.querySelector('input[type=range]').getAttribute('aria-valuetext')"
        )
        == "layer 1"
    )
    assert all("layer 1;" in title for title in opened.run(titles))
    assert all(old != new for old, new in zip(first, opened.run(paths), strict=True))
    opened.press("input[type=range]", "home")
    assert opened.run(paths) == first


def test_a_table_sorts_by_click_and_by_keyboard(opened):
    opened.run("document.querySelector('#runs table').id = 'edits'")
    column = opened.run(
        "return [...document.querySelectorAll('#edits th')].findIndex(th => "
        "th.textContent.includes('by at most'))"
    )
    heading = f"#edits th:nth-child({column + 1})"

    def numbers():
        return [float(text) for text in opened.run(FIRST_COLUMN, "#edits", column)]

    before = numbers()
    opened.click(f"{heading} button")
    assert (
        opened.run(f"return document.querySelector('{heading}').getAttribute('aria-sort')")
        == "ascending"
    )
    assert numbers() == sorted(before) != before
    opened.press(f"{heading} button", "enter")
    assert (
        opened.run(f"return document.querySelector('{heading}').getAttribute('aria-sort')")
        == "descending"
    )
    assert numbers() == sorted(before, reverse=True)
    opened.click("#edits th:first-child button")
    texts = opened.run(FIRST_COLUMN, "#edits", 0)
    assert texts == sorted(texts)
    assert (
        opened.run("return document.querySelectorAll('#edits th:not([aria-sort=none])').length")
        == 1
    )


@pytest.mark.parametrize(
    ("name", "width", "dark"), [("wide", 1280, False), ("phone", 390, False), ("dark", 1280, True)]
)
def test_it_fits_and_is_drawn(opened, tmp_path, name, width, dark):
    opened.resize(width, dark=dark)
    sizes = opened.run(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert sizes[0] <= sizes[1]  # nothing runs out of the window
    picture = tmp_path / f"{name}.png"
    opened.picture(picture)
    assert picture.stat().st_size > 100_000
    background, ink = opened.run(
        "const style = getComputedStyle(document.body);"
        "return [style.backgroundColor, style.color].map(colour => "
        "colour.match(/\\d+/g).slice(0, 3).map(Number))"
    )
    assert (sum(background) < sum(ink)) == dark
    if kept := os.environ.get("ACTLAS_SCREENSHOTS"):  # a folder, to look at them
        Path(kept).mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, kept)


def test_figures_are_read_in_the_dark(opened):
    """Lines and letters of a figure stand out from its background in both schemes.

    Over a picture they stay dark on light.
    """
    for dark in (False, True):
        opened.resize(1280, dark=dark)
        contrasts = opened.run(
            "const light = (each) => getComputedStyle(each).fill.match(/[\\d.]+/g).slice(0, 3)"
            ".reduce((sum, part) => sum + Number(part), 0);"
            "return [...document.querySelectorAll('.drawing')].map((svg) =>"
            " Math.abs(light(svg.querySelector('text')) - light(svg.querySelector('path'))))"
        )
        assert min(contrasts) > 450  # of 765


def test_it_prints_with_everything_open(opened, tmp_path):
    assert opened.run("return document.querySelectorAll('details:not([open])').length") > 0
    assert opened.paper(tmp_path / "report.pdf").startswith(b"%PDF")
    opened.resize(760, paper=True)  # as wide as A4
    sizes = opened.run(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert sizes[0] <= sizes[1]
    opened.resize(1280)
    states = (
        "dispatchEvent(new Event('beforeprint')); const closed = "
        "document.querySelectorAll('details:not([open])').length;"
    )
    assert opened.run(f"{states} dispatchEvent(new Event('afterprint')); return closed") == 0
    assert opened.run("return document.querySelectorAll('details:not([open])').length") > 0


def test_what_can_be_used_is_reached_by_tab_and_has_a_name(opened):
    nameless = opened.run(
        "return [...document.querySelectorAll('a, button, input, summary, "
        "[tabindex]')].filter((each) =>"
        " !(each.textContent.trim() || each.getAttribute('aria-label') || "
        "each.labels?.length)).map((each) => each.outerHTML)"
    )
    assert nameless == []
    opened.run("document.activeElement.blur()")
    opened.press("body", "tab")
    assert opened.run("return document.activeElement.className") == "skip"

"""The report in a real browser.

Nothing is asked for, nothing goes wrong; charts, tables and the page do what they say at every
width, in the dark, on paper, and without scripts.
"""

import csv
import os
import shutil
import time
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser import installed

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
DRAW_ALL = (
    "document.querySelectorAll('.chart').forEach((each) => {each.chart.seen = true; "
    "each.chart.draw()}); return document.querySelectorAll('.chart canvas').length"
)
SIZES = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"


@pytest.fixture(scope="module")
def report(studied_once):
    return studied_once[0] / "actlas-small" / "report.html"


@pytest.fixture
def opened(chromium, report):
    """The browser, with the report just opened in it."""
    chromium.resize(1280)
    chromium.open(report)
    return chromium


def drawn(opened, stage):
    """Draw the first chart of a study; return how its figure is found."""
    number = opened.run(
        "const names = [...document.querySelectorAll('section.analysis')];"
        "return names.findIndex((each) => each.querySelector('h2 .quiet').textContent === "
        "arguments[0])",
        stage,
    )
    selector = f"#part-{number} figure:has(.chart)"
    opened.run(
        "const chart = document.querySelector(arguments[0] + ' .chart').chart;"
        "chart.seen = true; chart.draw()",
        selector,
    )
    return selector


def pixels(opened, selector):
    time.sleep(0.1)  # it is painted with the next frame
    return opened.run(
        "return document.querySelector(arguments[0] + ' canvas').toDataURL()", selector
    )


def test_it_opens_and_a_chart_tells_its_numbers(opened, report):
    asked = [url for url in opened.requests() if not url.startswith("data:")]
    assert asked == [report.as_uri()]
    assert "A small study" in opened.chrome.title
    figure = drawn(opened, "variance")
    opened.point(f"{figure} canvas")
    tip = opened.find(".tip")
    assert tip.is_displayed()
    shown = tip.text
    assert "variance" in shown
    assert "layer" in shown
    first = pixels(opened, figure)
    button = opened.find(f"{figure} .legend button")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    hidden = pixels(opened, figure)
    assert hidden != first
    button.send_keys(Keys.ENTER)
    assert button.get_attribute("aria-pressed") == "true"
    assert pixels(opened, figure) != hidden
    assert opened.messages() == []


def test_the_layer_of_histograms_is_chosen_by_keyboard(opened):
    figure = drawn(opened, "cosine")
    first = pixels(opened, figure)
    slider, value = (opened.find(f"{figure} {each}") for each in ("input", "output"))
    assert (value.text, slider.accessible_name) == ("0", "layer")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert (value.text, slider.get_attribute("aria-valuetext")) == ("1", "layer 1")
    assert pixels(opened, figure) != first
    slider.send_keys(Keys.HOME)
    assert value.text == "0"
    assert pixels(opened, figure) == first
    assert opened.messages() == []


def test_a_table_sorts_and_is_saved_as_csv(opened, downloads):
    opened.run(
        "document.querySelectorAll('details').forEach((each) => (each.open = true));"
        "document.querySelector('#runs table').id = 'edits'"
    )
    column = opened.run(
        "return [...document.querySelectorAll('#edits th')].findIndex(th => "
        "th.textContent.includes('by at most'))"
    )
    heading = opened.find(f"#edits th:nth-child({column + 1})")
    button = opened.find(f"#edits th:nth-child({column + 1}) button")

    def numbers():
        return [float(text) for text in opened.run(FIRST_COLUMN, "#edits", column)]

    before = numbers()
    button.send_keys(Keys.ENTER)
    assert heading.get_attribute("aria-sort") == "ascending"
    assert numbers() == sorted(before) != before
    button.send_keys(Keys.ENTER)
    assert heading.get_attribute("aria-sort") == "descending"
    assert numbers() == sorted(before, reverse=True)
    opened.find("#runs button.csv").send_keys(Keys.ENTER)
    until = time.monotonic() + 10
    while not (saved := list(downloads.glob("*.csv"))) and time.monotonic() < until:
        time.sleep(0.1)
    with saved[0].open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0][column] == "by at most"
    assert [f"{float(row[column]):.4g}" for row in rows[1:]] == [f"{n:.4g}" for n in numbers()]


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 800, 1280])
def test_it_fits_is_drawn_and_accessible(opened, report, tmp_path, width, dark):
    opened.resize(width, dark=dark)
    opened.open(report)
    assert opened.run(DRAW_ALL) > 10
    sizes = opened.run(SIZES)
    assert sizes[0] <= sizes[1]  # nothing runs out of the window
    wide = opened.run(
        "return [...document.querySelectorAll('figure, figure .plot')].filter((each) => "
        "each.scrollWidth > each.clientWidth + 1).map((each) => each.outerHTML.slice(0, 200))"
    )
    assert wide == []  # no figure is moved sideways
    stretched = opened.run(
        "return [...document.querySelectorAll('.chart canvas')].filter((each) => "
        "Math.abs(each.clientWidth - each.width) > 12).length"
    )
    assert stretched == 0
    assert opened.violations() == []
    background, ink = opened.run(
        "const style = getComputedStyle(document.body);"
        "return [style.backgroundColor, style.color].map(colour => "
        "colour.match(/\\d+/g).slice(0, 3).map(Number))"
    )
    assert (sum(background) < sum(ink)) == dark
    assert opened.messages() == []
    assert [url for url in opened.requests() if not url.startswith("data:")] == [report.as_uri()]
    if kept := os.environ.get("ACTLAS_SCREENSHOTS"):  # a folder, to look at them
        picture = tmp_path / f"{width}-{'dark' if dark else 'light'}.png"
        opened.picture(picture)
        Path(kept).mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, kept)


@pytest.mark.slow
def test_pictures_stand_for_charts_on_paper_and_without_scripts(opened, report):
    shown = (
        "return [...document.querySelectorAll('figure')].filter((each) => "
        "each.querySelector('.static')?.offsetHeight > 50).length"
    )
    with_pictures = opened.run("return document.querySelectorAll('figure .static').length")
    charted = opened.run("return document.querySelectorAll('figure:has(.static) .chart').length")
    assert opened.run(shown) == with_pictures - charted
    folded = "return document.querySelectorAll('details:not([open])').length"
    assert opened.run(folded) > 0
    opened.run("dispatchEvent(new Event('beforeprint'))")
    assert opened.run(folded) == 0
    opened.resize(760, paper=True)  # as wide as A4
    assert opened.run(shown) == with_pictures
    visible = "return [...document.querySelectorAll('.chart')].filter((e) => e.offsetHeight).length"
    alone = opened.run(
        "return document.querySelectorAll('figure:not(:has(.static)) .chart').length"
    )
    assert opened.run(visible) == alone
    sizes = opened.run(SIZES)
    assert sizes[0] <= sizes[1]
    opened.resize(1280)
    opened.run("dispatchEvent(new Event('afterprint'))")
    assert opened.run(folded) > 0
    assert opened.paper().startswith(b"%PDF")
    opened.scripts(False)
    try:
        opened.open(report)
        assert opened.run(shown) == with_pictures
        assert opened.run(visible) == 0
    finally:
        opened.scripts(True)


@pytest.mark.slow
def test_charts_follow_the_scheme_and_the_width(opened):
    figure = drawn(opened, "variance")
    light = pixels(opened, figure)
    opened.resize(1280, dark=True)
    dark = pixels(opened, figure)
    assert dark != light
    opened.resize(700, dark=True)
    time.sleep(0.3)
    assert pixels(opened, figure) != dark
    sizes = opened.run(
        "return ['.chart', 'canvas'].map((each) => document.querySelector(arguments[0] + ' ' + "
        "each).clientWidth)",
        figure,
    )
    assert 0 <= sizes[0] - sizes[1] <= 12


def test_what_can_be_used_is_reached_by_tab_and_has_a_name(opened):
    nameless = opened.run(
        "return [...document.querySelectorAll('a, button, input, select, summary, "
        "[tabindex]')].filter((each) =>"
        " !(each.textContent.trim() || each.getAttribute('aria-label') || "
        "each.labels?.length || each.getAttribute('aria-hidden'))).map((each) => each.outerHTML)"
    )
    assert nameless == []
    opened.run("document.activeElement.blur()")
    opened.find("body").send_keys(Keys.TAB)
    assert opened.run("return document.activeElement.className") == "skip"

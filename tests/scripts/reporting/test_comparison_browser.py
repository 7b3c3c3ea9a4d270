"""The page that compares, and folded parts, in a real browser."""

import shutil
from itertools import pairwise

import pytest

from tests import commands
from tests.browser import installed

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not installed(),
        reason="Chromium and chromedriver are not installed: apt-get install chromium-driver",
    ),
]


@pytest.fixture(scope="module")
def compared(studied_once, tmp_path_factory):
    """The page that compares a folder with its copy."""
    folder = tmp_path_factory.mktemp("compared")
    shutil.copytree(studied_once[0], folder, dirs_exist_ok=True)
    shutil.copytree(folder / "actlas-small", folder / "other")
    done = commands.run(folder, "report", "actlas-small", "other", "--out", "both.html")
    assert done.returncode == 0, done.stderr
    return folder / "both.html"


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(390, False), (1280, True)])
def test_it_fits_asks_for_nothing_and_says_nothing(chromium, compared, width, dark):
    chromium.resize(width, dark=dark)
    chromium.open(compared)
    assert chromium.messages() == []
    asked = [url for url in chromium.requests() if not url.startswith("data:")]
    assert asked == [compared.as_uri()]
    sizes = chromium.run(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert sizes[0] <= sizes[1]
    assert chromium.violations() == []


def test_a_link_opens_what_is_folded(chromium, studied_once):
    chromium.resize(1280)
    chromium.open(studied_once[0] / "actlas-small" / "report.html")
    open_ = "return document.getElementById('sentences').open"
    assert chromium.run(open_) is False
    chromium.find("nav a[href='#sentences']").click()
    assert chromium.run(
        f"return new Promise(done => setTimeout(done, 50)).then(() => {{ {open_} }})"
    )


def test_headings_go_down_one_level_at_a_time(chromium, studied_once):
    chromium.open(studied_once[0] / "actlas-small" / "report.html")
    levels = chromium.run(
        "return [...document.querySelectorAll('h1, h2, h3, h4')].map(each => +each.tagName[1])"
    )
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))

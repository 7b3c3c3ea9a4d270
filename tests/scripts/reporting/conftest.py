"""One browser for all tests of pages."""

import pytest

from tests.browser import browser


@pytest.fixture(scope="session")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def chromium(downloads):
    with browser(downloads) as opened:
        yield opened

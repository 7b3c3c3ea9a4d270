"""Tiny models at work, which the tests of a file share."""

import pytest

from tests.families.tried import made_once


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """Return name → a tiny model at work, each made once."""
    return made_once(tmp_path_factory)

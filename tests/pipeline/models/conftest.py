"""Tiny models at work, which the tests of a file share."""

import warnings

import pytest

from tests.families.tried import Tried


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """Return name → a tiny model at work, each made once."""
    made = {}

    def of(name):
        if name not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made[name] = Tried(tmp_path_factory.mktemp(name), name)
        return made[name]

    return of

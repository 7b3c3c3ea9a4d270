"""The whole run and one of last tokens, made once."""

import shutil

import pytest

from actlas.store import Store
from tests.scripts.extraction.kept_runs import EDIT, extracted


@pytest.fixture(scope="session")
def whole(small_model, tmp_path_factory):
    """The run with all tokens, a variant beside it."""
    place = tmp_path_factory.mktemp("whole") / "store"
    extracted(place, small_model, "it.edited", edits=EDIT)
    return extracted(place, small_model, "it")


@pytest.fixture(scope="session")
def last_once(small_model, tmp_path_factory):
    place = tmp_path_factory.mktemp("last") / "store"
    extracted(place, small_model, "it", tokens="last")
    return place


@pytest.fixture
def last(last_once, tmp_path):
    """A copy of the run with the last token of each sentence."""
    return Store(shutil.copytree(last_once, tmp_path / "store")).run("it")

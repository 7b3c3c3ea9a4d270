"""Stores that the tests of this folder share."""

import shutil
from pathlib import Path

import pytest

from actlas.store import Run
from tests.store.making import Content, make_run


@pytest.fixture(scope="session")
def content() -> Content:
    """Three units of uneven sentences; sites of all dims and stored dtypes."""
    return Content()


@pytest.fixture(scope="session")
def stored(content, tmp_path_factory) -> Run:
    """A complete run named "her" of ``content``; to be left as it is found."""
    return make_run(tmp_path_factory.mktemp("stored") / "store", content, "her")


@pytest.fixture
def copied(stored, tmp_path) -> Run:
    """A copy of ``stored`` to do harm to."""
    store = Path(shutil.copytree(stored.folder.parents[1], tmp_path / "copied"))
    return Run(store / "runs" / stored.id, stored.names)

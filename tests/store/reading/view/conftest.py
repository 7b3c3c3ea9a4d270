"""Runs that the tests of views share."""

import numpy as np
import pytest

from tests.store.making import Content, make_run, make_variant
from tests.store.reading.view.labelled import KINDS, SITES, labelled


@pytest.fixture(scope="module")
def content():
    return labelled({"kind": np.array(KINDS), "index": np.arange(6) * 2})


@pytest.fixture(scope="module")
def run(content, tmp_path_factory):
    return make_run(
        tmp_path_factory.mktemp("view") / "store",
        content,
        "her",
        edits=[],
        tokens="sentences of her",
    )


@pytest.fixture(scope="module")
def variant(run, content):
    after = Content(dtypes=SITES, seed=5)
    after.__dict__["labels"] = content.labels
    return make_variant(run.folder.parents[1], run, after)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Return a run of other sentences that have as many tokens."""
    content = labelled({"kind": np.array(KINDS), "index": np.arange(6)}, seed=3)
    return make_run(tmp_path_factory.mktemp("other") / "store", content, edits=[], tokens="others")


@pytest.fixture
def ds(run):
    return run.dataset()

"""A run with two versions of labels."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from actlas.store import Run
from actlas.store.labels.relabel import relabel
from tests.store.labels.label_files import KINDS, SMALL
from tests.store.making import make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of two versions of labels."""
    run = make_run(tmp_path_factory.mktemp("labels") / "store", SMALL, "it")
    relabel(run, {"kind": KINDS, "n": np.arange(3)}, "second")
    return run


@pytest.fixture
def run(made, tmp_path):
    """A copy of it to do harm to."""
    store = Path(shutil.copytree(made.folder.parents[1], tmp_path / "store"))
    return Run(store / "runs" / made.id, made.names)

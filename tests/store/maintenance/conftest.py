"""A store with variants, and a process that writes to it."""

import subprocess
import sys

import pytest

from actlas.store import Store
from tests.store.maintenance.small_stores import HOLDER, SMALL
from tests.store.making import SKIP, make_run


@pytest.fixture
def store(tmp_path) -> Store:
    """A baseline "clean" with two variants, and a run "other"."""
    path = tmp_path / "store"
    make_run(path, SMALL, "clean", edits=[])
    make_run(path, SMALL, "skipped", edits=[SKIP])
    make_run(path, SMALL, "scaled", edits=["scale:layer=1,factor=2"])
    make_run(path, SMALL, "other", edits=[], other=1)
    return Store(path)


@pytest.fixture
def writer(store, pytestconfig):
    """A process at work in the run "clean"."""
    command = [sys.executable, "-c", HOLDER, store.run("clean").folder]
    with subprocess.Popen(
        command, cwd=pytestconfig.rootpath, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        yield process
        process.kill()

"""Fixtures that several folders share."""

# BLAS reads it when it is imported: beside other tests a second thread only waits for its turn
import os

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import subprocess
import sys
from functools import partial
from pathlib import Path

import dask
import hypothesis
import pytest

from tests import commands
from tests.small_model import TEXTS, save_model

os.environ.setdefault("HF_HUB_OFFLINE", "1")

# machines are shared: a slow moment is no failure; and CI draws twice, with the oldest set and with
# the newest
hypothesis.settings.register_profile("actlas", deadline=None, max_examples=50)
hypothesis.settings.load_profile("actlas")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Keep digests of weights out of the user's cache folder."""
    old = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if old is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = old


@pytest.fixture(autouse=True, scope="session")
def _server(_own_cache):
    """End what runs the commands."""
    yield
    commands.SERVER.stop()


@pytest.fixture(scope="session")
def small_model(tmp_path_factory) -> Path:
    """Folder of a small, perturbed model."""
    return save_model(tmp_path_factory.mktemp("small") / "model")


@pytest.fixture
def sentence_file(tmp_path) -> Path:
    """Five sentences of different lengths, each with "her"."""
    path = tmp_path / "her.txt"
    path.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def forbid_compute():
    """Fail when anything lazy is computed."""

    def refuse(*_args, **_options):
        raise AssertionError("something was computed while a result was only being built")

    with dask.config.set(scheduler=refuse):
        yield


@pytest.fixture
def actlas(tmp_path):
    """Run the command in a process of its own, as users do, in ``tmp_path``.

    Return the finished process.
    """

    return partial(commands.run, tmp_path)


@pytest.fixture
def actlas_without_root(tmp_path):
    """Run the command as somebody for whom permissions hold, whoever runs the tests."""

    def run(*arguments):
        code = "import sys, os; from actlas.scripts.cli import main\n"
        code += "from actlas.scripts.bench.injection.process import drop_capabilities\n"
        code += "os.geteuid() or drop_capabilities(); main(prog_name='actlas')"
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    return run

"""Fixtures that several folders share."""

import os
import subprocess
import sys
from pathlib import Path

import dask
import hypothesis
import pytest

from tests.small_model import TEXTS, save_model

os.environ.setdefault("HF_HUB_OFFLINE", "1")

hypothesis.settings.register_profile("actlas", deadline=None)  # machines are shared: a slow moment is no failure
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
    """Run the command in a process of its own, as users do, in ``tmp_path``; return the finished process."""

    def run(*arguments, stdin=None, **environment):
        return subprocess.run(
            [sys.executable, "-m", "actlas.scripts", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            input=stdin,
            text=True,
            timeout=120,
        )

    return run


@pytest.fixture
def actlas_without_root(tmp_path):
    """Run the command as somebody for whom permissions hold, whoever runs the tests."""

    def run(*arguments):
        code = "import sys; from actlas.scripts.bench.victim import drop_capabilities; from actlas.scripts.cli import main\n"
        code += "import os; os.geteuid() or drop_capabilities(); main(prog_name='actlas')"
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    return run

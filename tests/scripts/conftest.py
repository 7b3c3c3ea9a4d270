"""A store made once by the command itself; each test gets a copy."""

import os
import shutil
import subprocess
import sys

import pytest

from actlas.store import Store
from tests.small_model import TEXTS


@pytest.fixture(scope="session")
def stored_once(small_model, tmp_path_factory):
    """Folder with ``her.txt`` and ``store``, which holds its run, called ``it``, in several units."""
    folder = tmp_path_factory.mktemp("stored")
    (folder / "her.txt").write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")
    options = ["--model", small_model, "--store", "store", "--name", "it", "--unit-tokens", 60]
    command = [sys.executable, "-m", "actlas.scripts", "extract", "her.txt", *map(str, options)]
    subprocess.run(command, cwd=folder, env=os.environ, check=True, capture_output=True)
    return folder


@pytest.fixture
def store(stored_once, tmp_path):
    """A copy of that store, in the folder commands run in."""
    shutil.copytree(stored_once / "store", tmp_path / "store")
    return Store(tmp_path / "store")

"""A store made once by the command itself; each test gets a copy."""

import shutil

import pytest

from actlas.store import Store
from tests import commands
from tests.small_model import TEXTS

STUDY = """
title = "A small study"

[model]
name = "MODEL"
unit_tokens = 60

[runs.it]
sentences = "her.txt"
edits = ["skip:layer=*", ["scale:layer=1,factor=2", "zero:site=z,layer=0,head=0"]]

[analyses.variance]
target = "her"

[analyses.cosine]
target = "her"
bins = 20

[analyses.reconstruct]
[analyses.norms]
[analyses.scan]

[analyses.both]
stage = "downstream"
edits = ["scale:*"]
"""


@pytest.fixture(scope="session")
def stored_once(small_model, tmp_path_factory):
    """Folder with ``her.txt`` and ``store``.

    The store holds its run, called ``it``, in several units.
    """
    folder = tmp_path_factory.mktemp("stored")
    (folder / "her.txt").write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")
    options = ["--model", small_model, "--store", "store", "--name", "it", "--unit-tokens", 60]
    done = commands.run(folder, "extract", "her.txt", *options)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def store(stored_once, tmp_path):
    """A copy of that store, in the folder commands run in."""
    shutil.copytree(stored_once / "store", tmp_path / "store")
    return Store(tmp_path / "store")


@pytest.fixture(scope="session")
def studied_once(small_model, tmp_path_factory):
    """Folder with a study file, its sentences, and what one call made of them.

    Also return what that call said.
    """
    folder = tmp_path_factory.mktemp("study")
    (folder / "her.txt").write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")
    (folder / "small.toml").write_text(STUDY.replace("MODEL", str(small_model)), encoding="utf-8")
    done = commands.run(folder, "study", "run", "small.toml", "--quiet")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture
def studied(studied_once, tmp_path):
    """A copy of that folder."""
    shutil.copytree(studied_once[0], tmp_path, dirs_exist_ok=True)
    return tmp_path

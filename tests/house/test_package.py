"""The package as it is installed: every room is listed, and importing it costs nothing."""

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

import actlas
from actlas.store import Store, UsageError

ROOT = Path(__file__).parents[2]
FOLDERS = ("actlas", "analysis", "pipeline", "scripts", "store")
LARGEST_ROOM = 16


def rooms():
    """Return the folders of modules, links left out."""
    for folder in FOLDERS:
        for init in sorted((ROOT / folder).glob("**/__init__.py")):
            if not any((ROOT / part).is_symlink() for part in init.relative_to(ROOT).parents):
                yield init.parent.relative_to(ROOT)


def test_every_room_is_installed():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = setup["options"]["packages"].split()
    found = [".".join(("actlas", *room.parts[room.parts[0] == "actlas" :])) for room in rooms()]
    assert sorted(listed) == sorted(found)


def test_the_version_is_the_same_everywhere():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    version = setup["metadata"]["version"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+)", changes, re.MULTILINE)[1] == version
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", [*FOLDERS, "tests"])
def test_no_room_is_crowded(folder):
    crowded = {}
    for room in {path.parent for path in (ROOT / folder).glob("**/*.py")}:
        files = len(list(room.glob("*.py")))
        if files > LARGEST_ROOM:
            crowded[str(room.relative_to(ROOT))] = files
    assert not crowded


def test_importing_the_package_imports_no_library():
    code = (
        "import sys, actlas; print(*sorted({'numpy', 'h5py', 'xarray', 'torch'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_what_users_type(tmp_path):
    for name in actlas.__all__:
        assert getattr(actlas, name) is not None
    assert set(actlas.__all__) <= set(dir(actlas))
    Store.create(tmp_path / "atlas")
    assert actlas.open(tmp_path / "atlas").names() == {}
    with pytest.raises(UsageError, match="nowhere"):
        actlas.open(tmp_path / "nowhere")
    with pytest.raises(AttributeError, match="module 'actlas' has no attribute 'Runs'"):
        _ = actlas.Runs

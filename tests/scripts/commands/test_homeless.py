"""A user without a home folder and without an entry in the list of users.

Containers have such users, who own nothing but one folder.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from actlas.store import Store
from tests.small_model import TEXTS

UID = "12345"
LINE = "note: no home folder (HOME is not set), so weights are hashed again: set XDG_CACHE_HOME"


@pytest.fixture
def folder():
    """A folder of that user's, which everybody may enter, below one that he may not write to."""
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv, to become somebody else")
    top = Path(tempfile.mkdtemp())
    top.chmod(0o755)
    (top / "his").mkdir()
    os.chown(top / "his", int(UID), int(UID))
    yield top / "his"
    shutil.rmtree(top)


@pytest.fixture
def homeless(folder):
    """Run a command as that user in his folder."""

    def run(*arguments, **environment):
        user = [
            "env",
            "-i",
            "PATH=/usr/bin:/bin",
            "LANG=C.UTF-8",
            *(f"{name}={value}" for name, value in environment.items()),
        ]
        user += ["setpriv", "--reuid", UID, "--regid", UID, "--clear-groups", "--inh-caps=-all"]
        command = [*opened(), *user, sys.executable, *map(str, arguments)]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)

    tried = run(
        "-c", "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
    )
    if tried.returncode:
        pytest.skip(f"Python is not for every user here: {tried.stderr[-200:]}")
    return lambda *arguments, **environment: run("-m", "actlas.scripts", *arguments, **environment)


def opened():
    """Return what goes before a command.

    Every user can run Python in it, though its folder is root's own alone.

    In file systems of the command's own, an empty folder stands in the place of that one, with what
    is needed in it.
    """
    python = Path(sys.executable).resolve()
    closed = next(
        (each for each in reversed(python.parents) if not each.stat().st_mode & 0o001), None
    )
    if closed is None:
        return []
    inside = closed / python.relative_to(closed).parts[0]
    other = tempfile.mkdtemp()
    steps = [
        f"mount --bind {inside} {other}",
        f"mount -t tmpfs -o mode=755 none {closed}",
        f"mkdir {inside}",
        f"mount --bind {other} {inside}",
        'exec "$@"',
    ]
    return ["unshare", "-m", "sh", "-ec", "; ".join(steps), "sh"]


@pytest.fixture
def model(folder, small_model):
    """The small model where that user can read it."""
    copied = shutil.copytree(small_model, folder.parent / "model")
    for path in (copied, *copied.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copied


@pytest.mark.slow
def test_every_operation_of_a_store_works_without_a_home(homeless, folder, model):
    (folder / "some.txt").write_text("\n".join(TEXTS))
    done = homeless(
        "extract", "some.txt", "--model", model, "--store", "store", "--name", "it", "--quiet"
    )
    assert (done.returncode, done.stderr.splitlines()) == (0, [LINE]), done
    common = ("--store", "store")
    for words in (
        ["ls"],
        ["pack", "it"],
        ["verify"],
        ["export", "it", "it.h5"],
        ["rename", "it", "other"],
        ["norms", "other"],
    ):
        done = homeless(*words, *common)
        assert done.returncode == 0, (words, done)
        assert "Traceback" not in done.stderr
    done = homeless("ls", "--store", "~/store")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done
    assert homeless("rm", "other", "--yes", *common).returncode == 0
    assert not (folder / "~").exists()


@pytest.mark.slow
def test_a_model_of_the_hub_needs_a_cache_and_says_so(homeless, folder):
    (folder / "some.txt").write_text("\n".join(TEXTS))
    done = homeless("extract", "some.txt", "--model", "gpt2", HF_HUB_OFFLINE=1)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done
    assert "set HF_HOME to a folder" in done.stderr
    done = homeless(
        "extract", "some.txt", "--model", "gpt2", HF_HUB_OFFLINE=1, HF_HOME=folder / "hub"
    )
    assert (done.returncode, "not in the local hub cache" in done.stderr) == (2, True), done
    assert sorted(path.name for path in folder.iterdir()) in (["some.txt"], ["hub", "some.txt"])


@pytest.mark.slow
def test_a_store_in_a_folder_that_may_not_be_written_works_if_it_is_there(homeless, folder, model):
    (folder / "some.txt").write_text("\n".join(TEXTS))
    place = folder.parent / "store"
    command = ("extract", "some.txt", "--model", model, "--store", place, "--quiet")
    done = homeless(*command)
    assert (done.returncode, done.stderr.splitlines()[1:]) == (
        1,
        [f"Error: {place}: Permission denied"],
    ), done
    Store.create(place)
    for path in (place, *place.rglob("*")):
        os.chown(path, int(UID), int(UID))
    assert homeless(*command).returncode == 0
    assert homeless("verify", "--store", place).returncode == 0


@pytest.mark.slow
def test_the_demo_needs_no_home(homeless, folder):
    done = homeless("demo", "--quiet")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done
    assert (folder / "actlas-demo" / "report.html").is_file()

"""A study of another package, installed as users do: command, help, stage, report, and currency."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from actlas.store import Store
from tests import commands

PLUGIN = Path(__file__).parents[2] / "plugin"


@pytest.fixture(scope="module")
def plugged(tmp_path_factory):
    """Folder with the package installed in ``site``, which is on the path of commands."""
    if not importlib.util.find_spec("setuptools") or not importlib.util.find_spec("pip"):
        pytest.skip("pip and setuptools, which install the package, are not there")
    folder = tmp_path_factory.mktemp("plugged")
    shutil.copytree(PLUGIN, folder / "source")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
    ]
    arguments = ["--quiet", "--disable-pip-version-check", "--target", folder / "site"]
    done = subprocess.run([*pip, *arguments, folder / "source"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture
def with_plugin(plugged, studied):
    """Run a command in a fresh Python that sees the package; return what it printed."""

    def run(*arguments, code=0):
        command = [sys.executable, "-m", "actlas.scripts", *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(plugged)}
        done = subprocess.run(command, cwd=studied, env=environment, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    return run


@pytest.mark.slow
def test_it_is_a_command_with_help(with_plugin, studied):
    assert "How widely the residual stream is spread." in with_plugin("--help")
    assert "--ddof INTEGER RANGE" in with_plugin("spread", "--help")
    (name,) = (run.name for run in Store(studied / "actlas-small/store").runs() if not run.edits)
    said = with_plugin("spread", name, "--store", "actlas-small/store", "--out", "out", "--ddof", 1)
    assert said.startswith("the spread goes from ")
    assert list((studied / "out").glob("spread-*.nc"))
    refused = with_plugin("spread", name, "--store", "actlas-small/store", "--ddof", 2, code=2)
    assert "is not in the range" in refused


@pytest.mark.slow
def test_it_is_a_stage_and_a_section_of_the_report(with_plugin, plugged, studied):
    study = studied / "small.toml"
    study.write_text(study.read_text() + "\n[analyses.spread]\nddof = 1\n")
    assert "the spread goes from" in with_plugin("study", "run", "small.toml", "--quiet")
    assert "Does the stream spread?" in (studied / "actlas-small/report.html").read_text()
    states = json.loads(with_plugin("study", "check", "small.toml", "--json"))["analyses"]
    assert set(states.values()) == {"up to date"}
    assert (
        "[analyses.spread]"
        in with_plugin("study", "new", "new.toml") + (studied / "new.toml").read_text()
    )
    assert "spread.nc: 3 files" in with_plugin("verify", "actlas-small")
    # without the package its results are still shown, but for what only its code knows
    done = commands.run(studied, "report", "actlas-small")
    assert done.returncode == 0, done.stderr
    page = (studied / "actlas-small/report.html").read_text()
    assert "The spread goes from" in page
    assert "Look where it grows." in page
    refused = commands.run(studied, "study", "check", "small.toml")
    assert (refused.returncode, "unknown stage 'spread'" in refused.stderr) == (2, True)


@pytest.mark.slow
def test_another_version_of_the_package_does_it_again(with_plugin, plugged, studied):
    study = studied / "small.toml"
    study.write_text(study.read_text() + "\n[analyses.spread]\n")
    with_plugin("study", "run", "small.toml", "--quiet")
    (info,) = plugged.glob("actlas_spread-*.dist-info")
    metadata = (info / "METADATA").read_text()
    (info / "METADATA").write_text(metadata.replace("Version: 0.3.0", "Version: 0.4.0"))
    try:
        states = json.loads(with_plugin("study", "check", "small.toml", "--json"))["analyses"]
    finally:
        (info / "METADATA").write_text(metadata)
    assert {name for name, state in states.items() if state != "up to date"} == {"spread"}


def test_a_package_that_cannot_be_imported_is_one_line(with_plugin, plugged):
    module = plugged / "actlas_spread" / "__init__.py"
    text = module.read_text()
    module.write_text("import nothing_of_that_name\n")
    try:
        assert "not available: study 'spread' of actlas-spread cannot" in " ".join(
            with_plugin("--help").split()
        )
        said = with_plugin("spread", "it", code=1)
    finally:
        module.write_text(text)
    assert "No module named 'nothing_of_that_name'" in said
    assert len(said.splitlines()) == 1

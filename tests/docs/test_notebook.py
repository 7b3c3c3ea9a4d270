"""The example notebook, made from its script, runs in a kernel from the first cell to the last."""

import os
from pathlib import Path

import pytest

from tests import commands

ROOT = Path(__file__).parents[2]
jupytext = pytest.importorskip("jupytext", reason="needs the extra docs")
nbclient = pytest.importorskip("nbclient", reason="needs the extra docs")


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
def test_first_look(tmp_path, monkeypatch):
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    done = commands.run(
        tmp_path, "extract", ROOT / "pipeline" / "texts" / "her.txt", "--name", "her"
    )
    assert done.returncode == 0, done.stderr
    notebook = jupytext.read(ROOT / "docs" / "examples" / "first_look.py")
    nbclient.NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": os.fspath(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert any("54 pairs of 'her'" in output.get("text", "") for output in outputs)
    assert "<table" in outputs[0]["data"]["text/html"]  # the run shows itself

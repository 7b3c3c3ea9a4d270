"""The example notebook, made from its script, runs in a kernel from the first cell to the last."""

import os
from pathlib import Path

import pytest

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
    notebook = jupytext.read(ROOT / "docs" / "examples" / "first_look.py")
    nbclient.NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": os.fspath(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    shown = [
        output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})
    ]
    assert "5 pairs of " in shown[0]  # the result shows findings, table and figure
    assert "<table" in shown[0]
    assert "actlas run first-look" in shown[1]
    assert "actlas store" in shown[2]
    assert any("first-look: 100%" in output.get("text", "") for output in outputs)  # a bar

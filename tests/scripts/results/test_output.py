"""What people see.

Lines that fit a terminal of 80 columns, nothing that only a terminal understands, and no colours.
"""

import contextlib
import os
import pty
import subprocess
import sys

import pytest

from tests import commands

COLUMNS = 80
EDITS = ("skip:layer=*", "scale:layer=1,factor=0.5")


@pytest.fixture(scope="module")
def folder(small_model, tmp_path_factory):
    """A store of a run and its variants, with names as they come."""
    from tests.small_model import TEXTS

    folder = tmp_path_factory.mktemp("output")
    (folder / "her.txt").write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")
    (folder / "model").symlink_to(small_model)
    sites = [
        word
        for site in ("resid", "q", "k", "v", "attn_out", "mlp_out", "nll")
        for word in ("--site", site)
    ]
    edits = [word for edit in EDITS for word in ("--edit", edit)]
    done = commands.run(folder, "sweep", "her.txt", "--model", "model", *edits, *sites)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.mark.parametrize(
    "line",
    [
        "ls",
        "show her-model",
        "show her-model.skip-layer-1",
        "du",
        "gc",
        "verify her-model",
        "pack her-model",
        "extract her.txt --model model --dry-run",
        "sweep her.txt --model model --edit skip:layer=0",
        "variance her-model --target her",
        "cosine her-model --target her",
        "reconstruct her-model",
        "norms her-model --outliers 2",
        "scan her-model",
        "downstream her-model.*",
        "report actlas-results/her-model",
        "study new my.toml",
        "study check my.toml",
    ],
)
def test_lines_fit_a_terminal(folder, line):
    if line == "study check my.toml" or line.startswith("report"):  # what they need
        commands.run(folder, "study", "new", "my.toml")
        commands.run(folder, "variance", "her-model", "--target", "her")
    (folder / "my.toml").unlink() if line == "study new my.toml" and (
        folder / "my.toml"
    ).exists() else None
    done = commands.run(folder, *line.split())
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert [
        line for line in lines if len(line.removesuffix(line.split(" ")[-1])) > COLUMNS
    ] == []  # a name at the end is not cut
    assert "\x1b" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}])
def test_progress_is_for_terminals_and_never_coloured(folder, environment, tmp_path):
    command = [
        sys.executable,
        "-m",
        "actlas.scripts",
        "extract",
        "her.txt",
        "--model",
        "model",
        "--site",
        "q",
    ]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*command, "--store", str(tmp_path / "store")],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # Linux's way to say that the other side is closed
            while content := os.read(ours, 4096):
                said += content
    os.close(ours)
    assert process.returncode == 0, said
    assert b"computed 1 unit," in said
    assert b"\r" in said  # a bar that moved
    assert b"\x1b[3" not in said  # the beginning of every colour

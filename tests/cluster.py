"""A scheduler and workers as processes of their own, as on a cluster."""

import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.small_model import TEXTS

SILENT = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@contextmanager
def process(command, **options):
    """Run ``command`` for as long as the block takes."""
    with subprocess.Popen(list(map(str, command)), **{**SILENT, **options}) as running:
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                running.kill()


@contextmanager
def scheduler(folder: Path, workers=(), count=0):
    """Yield the file of a scheduler with ``workers``, each (words before the command.

    Environment), and ``count`` plain.
    """
    file = folder / "scheduler.json"
    listen = ["--port", "0", "--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", file]
    with ExitStack() as stack:
        stack.enter_context(
            process([sys.executable, "-m", "distributed.cli.dask_scheduler", *listen], cwd=folder)
        )
        while not file.is_file() or not file.read_text().rstrip().endswith("}"):
            time.sleep(0.05)
        for before, environment in (*workers, *[((), {})] * count):
            options = [
                "--scheduler-file",
                file,
                "--no-dashboard",
                "--no-nanny",
                "--nthreads",
                "2",
                "--memory-limit",
                "0",
            ]
            command = [
                *before,
                sys.executable,
                "-m",
                "distributed.cli.dask_worker",
                *options,
                "--local-directory",
                folder,
            ]
            stack.enter_context(process(command, cwd=folder, env={**os.environ, **environment}))
        yield file


def corpus(folder: Path, times: int) -> Path:
    """Write ``times`` the five sentences, numbered."""
    path = folder / "corpus.txt"
    path.write_text(
        "".join(f"{number}: {text}\n" for number in range(times) for text in TEXTS),
        encoding="utf-8",
    )
    return path


def same_content(one, other):
    """Fail unless two runs have the same units, sites, labels and, to rounding, values."""
    assert one.specification == other.specification
    assert len(one.commits) == len(other.commits)
    for left, right in zip(one.commits, other.commits, strict=True):
        assert (left.unit, left.labels) == (right.unit, right.labels)
        assert len(left.edits) == len(right.edits)
        for check, other_check in zip(left.edits, right.edits, strict=True):
            assert check == {
                **other_check,
                "max_change": pytest.approx(other_check["max_change"], rel=1e-5),
            }
        assert {name: site.layout for name, site in left.sites.items()} == {
            name: s.layout for name, s in right.sites.items()
        }
        assert {name: len(s.checksums) for name, s in left.shared.items()} == {
            n: len(s.checksums) for n, s in right.shared.items()
        }
        settings = [
            {
                k: v
                for k, v in side.provenance.items()
                if k not in ("committed", "threads", "workers")
            }
            for side in (left, right)
        ]
        assert settings[0] == settings[1]
    import xarray as xr

    xr.testing.assert_allclose(one.dataset(), other.dataset(), rtol=1e-5, atol=1e-5)


def one_line(done, code, *parts):
    """Fail unless a command ended with ``code`` and one line of error.

    With all of ``parts`` in it.
    """
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert all(part in done.stderr for part in ("Error: ", *parts)), done.stderr

"""Completions as shells ask for them.

They come from a process, by environment variables, with nothing heavy imported.
"""

import os
import subprocess
import sys

import pytest


def heavy_of(words):
    """Return what a completion must not import: all but ``extract`` do without NumPy too."""
    heavy = {"torch", "xarray", "dask", "matplotlib"}
    return heavy if "extract" in words else heavy | {"numpy", "h5py"}


@pytest.fixture
def complete(store, tmp_path):
    """Return what bash is offered for the last of ``words``."""

    def ask(*words, **environment):
        asked = {
            "_ACTLAS_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
        }
        code = (
            "import sys; from actlas.scripts.cli import main\n"
            "try:\n    main(prog_name='actlas')\n"
            f"finally:\n    heavy = {heavy_of(words)} & set(sys.modules); assert not heavy, heavy"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**os.environ, **asked, **environment},
            capture_output=True,
            text=True,
        )
        assert not done.stderr
        return [tuple(line.split(",", 1)) for line in done.stdout.splitlines() if line]

    return ask


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["actlas", "vari"], ["variance"]),
        (["actlas", "variance", "--tar"], ["--target"]),
        (["actlas", "variance", "--store", "store", ""], ["it"]),
        (["actlas", "downstream", "--store", "store", "it", ""], []),
        (["actlas", "norms", "it", "--site", "attn"], ["attn_out"]),
        (["actlas", "variance", "--store", "nowhere", ""], []),
        (["actlas", "extract", "--attention", "e"], ["eager"]),
    ],
)
def test_what_fits_is_offered(complete, words, offered):
    assert complete(*words) == [("plain", word) for word in offered]


def test_the_store_may_come_from_the_environment_and_exports_are_runs(complete, tmp_path):
    (tmp_path / "item.h5").touch()
    assert complete("actlas", "show", "it", ACTLAS_STORE="store") == [
        ("plain", "it"),
        ("plain", "item.h5"),
    ]


def test_sentences_are_files(complete):
    assert complete("actlas", "extract", "h") == [("file", "h")]

"""What is printed.

A failure is one line, and nothing steers a terminal, whatever the output is.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.pipeline.inputs.sentences import read_sentences
from actlas.pipeline.models.folder import resolve
from actlas.scripts.study.file import read_study
from actlas.scripts.terminal.failures import failure, one_line
from actlas.scripts.terminal.streams import STEERING, visible
from actlas.store.errors import UsageError
from actlas.store.io.safe_open import user_path
from tests.commands import run as actlas
from tests.small_model import save_model
from tests.terminal import run_on_terminal

STEER = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202eevil"
TEXTS = f"text,kind\nWe saw her {STEER} there.,a{STEER}\nThey met her now.,b{STEER}\n"


def begun(folder, *arguments, code="", **options):
    command = [
        sys.executable,
        "-c",
        f"{code}\nfrom actlas.scripts.cli import main; main(prog_name='actlas')",
        *arguments,
    ]
    return subprocess.run(
        command, cwd=folder, stderr=subprocess.PIPE, text=True, timeout=120, **options
    )


@pytest.mark.slow
def test_nothing_stored_or_given_steers_a_terminal(tmp_path):
    (tmp_path / "mine.csv").write_text(TEXTS)
    (tmp_path / f"odd{STEER}.csv").write_text(TEXTS.replace(STEER, "\x7f"))
    model = save_model(tmp_path / "m")
    commands = [
        ("extract", "mine.csv", "--model", model, "--store", "s"),
        ("extract", "mine.csv", "--model", model, "--store", "s", "--drop", f"no{STEER}"),
        ("extract", f"odd{STEER}.csv", "--model", model, "--store", "s"),
        ("extract", f"none{STEER}.csv"),
        ("ls", "--store", "s"),
        ("show", "mine-m", "--store", "s"),
        ("show", f"none{STEER}", "--store", "s"),
        ("verify", "--store", "s"),
        ("du", "--store", "s"),
        ("norms", "mine-m", "--store", "s", "--by", "kind"),
        ("norms", "mine-m", "--store", "s", "--by", f"x{STEER}"),
        ("variance", "mine-m", "--store", "s", "--target", STEER),
        ("report", "actlas-results/mine-m", "--store", "s"),
        ("show", "mine-m", "--store", "s", "--json"),
        (STEER,),
    ]
    for arguments in commands:
        _, said = run_on_terminal(tmp_path, *arguments)
        assert not STEERING.search(said.decode()), (arguments, said)
        assert b"Traceback" not in said


@given(st.text())
def test_a_message_is_one_short_line_without_controls(text):
    line = one_line(text * 50)
    assert line == visible(line)
    assert "\n" not in line
    assert len(line) <= 2001


def test_what_is_reported_each_failure():
    assert failure(MemoryError()) == (
        "out of memory: ask for less at a time, or use a machine with more",
        1,
    )
    assert failure(RecursionError())[1] == 1
    assert failure(OSError(28, "No space left on device"))[0].startswith("No space left on device")
    assert failure(OSError(28, "No space left on device", "a.h5")) == (
        "a.h5: No space left on device",
        1,
    )
    assert failure(ValueError("embedded null byte"))[1] == 2
    assert failure(click.UsageError("no")) == ("no", 2)
    assert failure(RuntimeError("can't start new thread"))[1] == 1
    assert (
        failure(OSError(24, "Too many open files"))[0]
        == failure(ImportError("a.so: Too many open files"))[0]
    )
    assert failure(ValueError("a bug")) is None
    assert failure(KeyError("a bug")) is None


@pytest.mark.parametrize("cause", [MemoryError(), OSError(24, "Too many open files")])
def test_what_a_library_makes_of_a_limit_is_reported_as_that_limit(cause):
    def library():
        try:
            raise cause
        except Exception as error:
            raise ValueError("a library's own words") from error

    with pytest.raises(ValueError, match="a library's own words") as raised:
        library()
    assert failure(raised.value) == failure(cause)


LIMITED = """
import resource, sys
from actlas.scripts.cli import load, main
import actlas.analysis.variance.compute, actlas.scripts.analyses.asked, dask.array
load("variance")
resource.setrlimit(getattr(resource, sys.argv.pop(1)), (int(sys.argv.pop(1)),) * 2)
main(prog_name="actlas")
"""


@pytest.mark.slow
@pytest.mark.parametrize("limit", [("RLIMIT_NOFILE", "4"), ("RLIMIT_NOFILE", "6")])
def test_too_few_files_are_one_line(limit, store):
    words = (
        "variance",
        "it",
        "--store",
        store.path,
        "--out",
        store.path.parent / "results",
        "--target",
        "her",
    )
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *limit, *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "oo many open files" in done.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("ls", "--help"), ("show", "her", "--json")])
def test_output_to_a_full_disk_is_one_line(arguments, tmp_path):
    if arguments[0] == "show":
        actlas(
            tmp_path,
            "extract",
            "-",
            "--model",
            save_model(tmp_path / "m"),
            "--name",
            "her",
            stdin="We saw her.\n",
        )
    with Path("/dev/full").open("w") as full:
        done = begun(tmp_path, *arguments, stdout=full)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_reader_that_leaves_and_an_output_of_ascii(tmp_path):
    (tmp_path / "é.txt").write_text("We saw her.\n")
    read, write = os.pipe()
    os.close(read)
    done = begun(tmp_path, "--help", stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
    model = save_model(tmp_path / "m")
    actlas(tmp_path, "extract", "é.txt", "--model", model, "--name", "her")
    plain = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = begun(tmp_path, "show", "her", "--json", env=plain, stdout=subprocess.PIPE)
    assert done.returncode == 0
    assert json.loads(done.stdout)
    done = begun(tmp_path, "ls", env=plain, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "error", ["MemoryError", "RecursionError", "OSError(5, 'Input/output error')"]
)
def test_failures_without_a_file_are_one_line(error, tmp_path):
    code = (
        f"import actlas.store.catalog as c\ndef broken(*_): raise {error}\n"
        "c.Store.__init__ = broken"
    )
    done = begun(tmp_path, "ls", code=code, stdout=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


def test_a_bug_keeps_its_traceback(tmp_path):
    code = (
        "import actlas.store.catalog as c\ndef broken(*_): raise KeyError('bug')\n"
        "c.Store.__init__ = broken"
    )
    done = begun(tmp_path, "ls", code=code, stdout=subprocess.PIPE)
    assert "KeyError: 'bug'" in done.stderr


@pytest.mark.slow
def test_home_is_expanded_wherever_a_path_is_given(tmp_path):
    home = {"HOME": str(tmp_path)}
    save_model(tmp_path / "m")
    (tmp_path / "a.txt").write_text("We saw her there.\nThey met her now.\n")
    (tmp_path / "work").mkdir()
    work = tmp_path / "work"
    done = actlas(work, "extract", "~/a.txt", "--model", "~/m", "--store=~/atlas", **home)
    assert done.returncode == 0, done.stderr
    done = actlas(work, "norms", "a-m", "--out=~/results", **home, ACTLAS_STORE="~/atlas")
    assert done.returncode == 0, done.stderr
    (tmp_path / "s.toml").write_text(
        'store = "~/atlas"\n[model]\nname = "~/m"\n[runs.a]\nsentences = "~/a.txt"\n'
    )
    done = actlas(work, "study", "check", "~/s.toml", **home)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("~"))
    assert (tmp_path / "results").is_dir()


def test_a_path_with_a_nul_is_wrong_usage():
    for call in (user_path, resolve, read_sentences):
        with pytest.raises(UsageError, match="NUL"):
            call("a\0b.txt")


NASTY = {
    "digits": "title = " + "9" * 5000,
    "dots": "[" + ".".join("a" * 100_000) + "]",
    "dotted": ".".join("a" * 100_000) + " = 1",
    "deep": "a = " + "[" * 100_000,
    "tables": "a = " + "{a=" * 100_000,
    "number": "[runs.a]\nsentences = " + "9" * 4000,
    "nul": '[runs.a]\nsentences = "a\\u0000.txt"',
    "large": "#" * (2 << 20),
    "escape": 'title = "\x1b"',
    "bytes": "\ud800",
}


@pytest.mark.parametrize("name", NASTY)
def test_a_nasty_study_file_is_refused_in_a_line(name, tmp_path):
    path = tmp_path / "s.toml"
    path.write_bytes(NASTY[name].encode(errors="surrogatepass"))
    done = actlas(tmp_path, "study", "check", path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 700
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(UsageError, match="not a regular file"):
        read_study(tmp_path / "pipe.toml")


@given(
    st.text(max_size=80)
    | st.lists(
        st.sampled_from(["[runs.a]", "\n", "sentences", " = ", '"x"', "[", "]", "{", "1"])
    ).map("".join)
)
def test_any_study_file_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("toml") / "s.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        read_study(path)
    except UsageError as error:
        assert len(str(error)) < 1500

"""After an extraction the files of a run that has many small ones are packed.

Whatever comes of it, the run is stored.
"""

import json
import resource
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from actlas.scripts.commands.extract import command as extract_command
from actlas.scripts.commands.sweep import command as sweep_command
from actlas.scripts.extraction.packing import pack_with_bar
from actlas.store import Store
from actlas.store.maintenance.verify import verify
from tests.small_model import TEXTS

ALONE = ["--unit-tokens", "1"]  # a sentence a unit


@pytest.fixture
def many(monkeypatch):
    """Let three files be many."""
    monkeypatch.setattr("actlas.store.runs.many_files.MANY_FILES", 2)


@pytest.fixture
def run_command(small_model, sentence_file, tmp_path):
    def run(*options, command=extract_command):
        given = [
            sentence_file,
            "--model",
            small_model,
            "--store",
            tmp_path / "store",
            "--device",
            "cpu",
            *options,
        ]
        return CliRunner().invoke(command, [*map(str, given)], catch_exceptions=False)

    return run


def is_valid(run):
    return run.sites and not [problem for checked in verify(run) for problem in checked.problems]


def files(run):
    return list((run.folder / "shards").iterdir())


@pytest.mark.usefixtures("many")
def test_many_small_files_are_packed(run_command, tmp_path):
    done = run_command(*ALONE, "--name", "it")
    assert f"{len(TEXTS)} files packed: 1 now" in done.output
    run = Store(tmp_path / "store").run("it")
    assert len(files(run)) == 1
    assert len(run.units) == len(TEXTS)
    assert is_valid(run)
    again = run_command(*ALONE, "--json", "--site", "q", "--site", "z")
    found = json.loads(again.stdout)
    assert found["units"]["computed"] == len(TEXTS)
    # the file of before stays
    assert found["packed"] == {"files": {"before": len(TEXTS) + 1, "after": 2}, "units": len(TEXTS)}


@pytest.mark.usefixtures("many")
def test_they_are_left_where_that_is_wanted(run_command, tmp_path):
    done = run_command(*ALONE, "--name", "it", "--no-pack")
    assert "`actlas pack it` packs them into few" in done.output
    run = Store(tmp_path / "store").run("it")
    assert len(files(run)) == len(TEXTS)
    assert "all stored already" in (again := run_command(*ALONE).output)
    assert "`actlas pack it`" in again


def test_few_files_are_left(run_command, tmp_path):
    assert json.loads(run_command(*ALONE, "--json").stdout)["packed"] is None
    (run,) = Store(tmp_path / "store").runs()
    assert len(files(run)) == len(TEXTS)


@pytest.mark.usefixtures("many")
def test_large_files_are_left(run_command, monkeypatch):
    monkeypatch.setattr("actlas.store.runs.many_files.SMALL_FILE", 1000)
    assert json.loads(run_command(*ALONE, "--json").stdout)["packed"] is None


@pytest.mark.usefixtures("many")
def test_a_sweep_packs_its_baseline_and_each_variant(run_command, tmp_path):
    run_command(*ALONE, "--edit", "skip:layer=1", command=sweep_command)
    runs = Store(tmp_path / "store").runs()
    assert [len(files(run)) for run in runs] == [1, 1]
    assert all(is_valid(run) for run in runs)


@pytest.mark.usefixtures("many")
def test_without_room_the_run_is_stored_and_the_reason_reported(run_command, tmp_path):
    run_command(*ALONE, "--no-pack")
    (run,) = Store(tmp_path / "store").runs()
    largest = max(path.stat().st_size for path in files(run))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 100, before[1]))
    try:
        done = run_command(*ALONE, "--site", "z")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert done.exit_code == 0
    assert "is stored, but its files were not packed: cannot reserve" in done.stderr
    run.refresh()
    assert "z" in run.sites
    assert len(files(run)) == 2 * len(TEXTS)
    assert is_valid(run)


@pytest.mark.usefixtures("many")
def test_interrupted_while_packing(run_command, tmp_path, monkeypatch):
    """A real signal: the answer names the command that goes on, and the run is whole."""
    real = pack_with_bar

    def interrupted(run, **rest):
        signal.raise_signal(signal.SIGINT)
        return real(run, **rest)

    monkeypatch.setattr("actlas.scripts.extraction.packing.pack_with_bar", interrupted)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(
            Exception, match="is stored, `actlas pack it` packs its files"
        ) as raised:
            run_command(*ALONE, "--name", "it")
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    assert raised.value.exit_code == 130
    run = Store(tmp_path / "store").run("it")
    assert len(files(run)) == len(TEXTS)
    assert is_valid(run)
    assert not list((run.folder / "tmp").iterdir())


@pytest.mark.slow
def test_a_sweep_of_workers_starts_from_a_packed_baseline(small_model, sentence_file, tmp_path):
    """In a process of its own, as the workers are."""
    code = (
        "import actlas.store.runs.many_files as usage; usage.MANY_FILES = 2; from "
        "actlas.scripts.cli import main; main()"
    )
    options = [sentence_file, "--model", small_model, "--store", tmp_path / "store", *ALONE]
    command = [
        sys.executable,
        "-c",
        code,
        "sweep",
        *options,
        "--workers",
        2,
        "--edit",
        "skip:layer=0-1",
    ]
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    runs = Store(tmp_path / "store").runs()
    assert [len(files(run)) for run in runs] == [1, 1, 1]
    assert all(is_valid(run) for run in runs)

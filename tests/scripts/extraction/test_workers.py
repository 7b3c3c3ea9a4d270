"""Processes of this machine.

They store what one process stores, whatever happens to one of them.
"""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from actlas.store import Store
from actlas.store.maintenance.verify import verify
from tests import commands
from tests.cluster import corpus, same_content

LINUX = pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks Linux for processes")


@pytest.fixture
def started(small_model, tmp_path):
    """Start an extraction of many units in two processes, in a process group of its own.

    A terminal does so too.
    """
    processes = []

    def start(*more):
        text = corpus(tmp_path, 15)
        options = [
            text,
            "--model",
            small_model,
            "--store",
            "store",
            "--unit-tokens",
            60,
            "--name",
            "it",
            "--quiet",
            *more,
        ]
        process = commands.Command(tmp_path, "extract", *options, own_group=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def commits(folder):
    return list((folder / "store").glob("runs/*/commits/*.json"))


def wait_for_commits(process, folder, count):
    while len(commits(folder)) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def is_valid(run):
    return [
        problem for checked in verify(run) for problem in checked.problems
    ] == [] and not run.missing(run.sites)


@pytest.mark.slow
def test_two_processes_store_what_one_stores(actlas, small_model, tmp_path):
    text = corpus(tmp_path, 4)
    options = ["--model", small_model, "--unit-tokens", 60, "--name", "it", "--json"]
    one = json.loads(actlas("extract", text, *options, "--store", "one").stdout)
    done = actlas("extract", text, *options, "--store", "two", "--workers", 2)
    assert done.returncode == 0, done.stderr
    two = json.loads(done.stdout)
    assert two["units"] == one["units"]
    assert two["bytes_written"] == one["bytes_written"]
    assert two["device"] == "2 workers, cpu"
    assert two["seconds"]["load"] > 0
    runs = [Store(tmp_path / name).run("it") for name in ("one", "two")]
    same_content(*runs)
    assert {commit.provenance["workers"] for commit in runs[1].commits} == {2}
    assert not list((tmp_path / "two").glob("runs/*/tmp/*"))
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [
        "names",
        "readouts",
        "removed",
        "runs",
        "store.json",
    ]


@pytest.mark.slow
@LINUX
def test_a_killed_worker_loses_nothing(started, tmp_path):
    process = started("--workers", 2)
    wait_for_commits(process, tmp_path, 4)
    (owner, *_) = [pid for pid in children(process.pid) if holds(pid, "/store/runs/")]
    before = len(commits(tmp_path))
    os.kill(owner, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    run = Store(tmp_path / "store").run("it")
    assert before < len(run.units) == len(run.commits)
    assert is_valid(run)
    assert said == ""


def children(parent):
    stats = [
        [*path.read_text().rsplit(")", 1)[1].split(), path.parent.name]
        for path in Path("/proc").glob("[0-9]*/stat")
    ]
    return [int(stat[-1]) for stat in stats if int(stat[1]) == parent]


def holds(pid, part):
    return any(
        part in str(link.readlink())
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if link.is_symlink()
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_all_and_the_same_command_goes_on(started, tmp_path, number):
    process = started("--workers", 2)
    wait_for_commits(process, tmp_path, 4)
    # Ctrl-C goes to all processes of a terminal's command, a batch system's SIGTERM to the first
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    stored = len(commits(tmp_path))
    total = len(Store(tmp_path / "store").run("it").units)
    assert (
        said == f"Error: interrupted: {stored} of {total} units are stored, run the same command "
        "again to go on\n"
    )
    assert not list((tmp_path / "store").glob("runs/*/tmp/*"))
    again = started()
    _, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert is_valid(Store(tmp_path / "store").run("it"))

"""kill -9 at random moments of a real extraction: committed units verify, the same command finishes, the result is the same."""

import random
import signal
import subprocess
import sys
import time

import pytest
import xarray as xr

from actlas.store import Store
from actlas.store.checking import verify

TOLERANCE = 1e-5
ROUNDS = 6
UNDER_WAY = "runs/*/tmp/*/*.h5"
COMMITTED = "runs/*/commits/*.json"
LONGEST = 0.2  # seconds from the first shard or commit to the kill
SENTENCES = 160


@pytest.fixture
def corpus(tmp_path):
    """Sentences enough for many units."""
    path = tmp_path / "corpus.txt"
    path.write_text("".join(f"When the rain began, Tom gave her coat number {n} and walked home.\n" for n in range(SENTENCES)))
    return path


def command(corpus, model, store):
    options = ["--model", model, "--store", store, "--unit-tokens", 100, "--site", "resid", "--site", "q", "--site", "mlp_post"]
    return [sys.executable, "-m", "actlas.scripts", "extract", *map(str, [corpus, *options, "--name", "it", "--quiet"])]


def committed(store):
    """Return the verified number of units; fails on any problem."""
    if not (store / "store.json").exists() or not Store(store).runs():
        return 0
    checked = [item for run in Store(store).runs() for item in verify(run)]
    assert [problem for item in checked for problem in item.problems] == []
    return len(checked)


def wait_for(process, store, pattern, but=()):
    """Wait until a file that is not among ``but`` appears in the store, while the process lives."""
    while not set(store.glob(pattern)) - set(but):
        assert process.poll() is None
        time.sleep(0.005)


@pytest.mark.slow
def test_killed_extractions_lose_nothing(tmp_path, small_model, corpus):
    store, generator = tmp_path / "store", random.Random(0)
    subprocess.run(command(corpus, small_model, tmp_path / "whole"), check=True, capture_output=True)
    units = [0]
    for number in range(ROUNDS):
        leftovers, commits = list(store.glob(UNDER_WAY)), list(store.glob(COMMITTED))
        process = subprocess.Popen(command(corpus, small_model, store), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_for(process, store, UNDER_WAY, leftovers)  # before that there is nothing to lose
        if number % 2:  # on a busy machine little gets done between two kills
            wait_for(process, store, COMMITTED, commits)
        time.sleep(generator.uniform(0, LONGEST))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        units.append(committed(store))
        assert units[-1] >= units[-2]  # what was committed stays
    done = subprocess.run(command(corpus, small_model, store), capture_output=True, text=True, check=True)
    resumed, whole = Store(store).run("it"), Store(tmp_path / "whole").run("it")
    assert not resumed.missing(whole.sites), done.stdout
    assert committed(store) == len(resumed.units) > ROUNDS
    assert len(list((resumed.folder / "shards").iterdir())) == len(resumed.units)
    assert list((resumed.folder / "tmp").iterdir()) == []
    xr.testing.assert_allclose(resumed.dataset(check=True), whole.dataset(check=True), rtol=TOLERANCE, atol=TOLERANCE)
    assert len({count for count in units if 0 < count < len(resumed.units)}) > 1, f"hardly a kill hit the middle: {units}"


@pytest.mark.slow
def test_interrupt_says_how_to_go_on(tmp_path, small_model, corpus):
    process = subprocess.Popen(
        command(corpus, small_model, tmp_path / "store"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(process, tmp_path / "store", COMMITTED)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to go on" in errors
    assert len(errors.splitlines()) == 1
    run = Store(tmp_path / "store").run("it")
    assert list((run.folder / "tmp").iterdir()) == []
    assert committed(tmp_path / "store") > 0


@pytest.mark.slow
def test_a_second_interrupt_is_at_once_and_loses_nothing(tmp_path, small_model, corpus):
    process = subprocess.Popen(
        command(corpus, small_model, tmp_path / "store"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(process, tmp_path / "store", COMMITTED)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)  # the latter on the way out
    assert len(errors.strip().splitlines()) <= 1, errors
    assert committed(tmp_path / "store") > 0

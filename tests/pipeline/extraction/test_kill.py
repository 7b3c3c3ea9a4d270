"""kill -9 at random moments of a real extraction.

Committed units verify, the same command finishes, the result is the same.
"""

import random
import signal
import time

import pytest
import xarray as xr

from actlas.store import Store
from actlas.store.maintenance.verify import verify
from tests.commands import Command

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
    path.write_text(
        "".join(
            f"When the rain began, Tom gave her coat number {n} and walked home.\n"
            for n in range(SENTENCES)
        )
    )
    return path


def extraction(corpus, model, store):
    options = [
        "--model",
        model,
        "--store",
        store,
        "--unit-tokens",
        100,
        "--site",
        "resid",
        "--site",
        "q",
        "--site",
        "mlp_post",
    ]
    return Command(corpus.parent, "extract", corpus, *options, "--name", "it", "--quiet")


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
    assert extraction(corpus, small_model, tmp_path / "whole").wait() == 0
    units = [0]
    for number in range(ROUNDS):
        garbage, commits = list(store.glob(UNDER_WAY)), list(store.glob(COMMITTED))
        process = extraction(corpus, small_model, store)
        wait_for(process, store, UNDER_WAY, garbage)  # before that there is nothing to lose
        if number % 2:  # on a busy machine little gets done between two kills
            wait_for(process, store, COMMITTED, commits)
        time.sleep(generator.uniform(0, LONGEST))
        process.kill()
        process.wait()
        units.append(committed(store))
        assert units[-1] >= units[-2]  # what was committed stays
    last = extraction(corpus, small_model, store)
    said = last.communicate()
    assert last.returncode == 0, said
    resumed, whole = Store(store).run("it"), Store(tmp_path / "whole").run("it")
    assert not resumed.missing(whole.sites), said
    assert committed(store) == len(resumed.units) > ROUNDS
    assert len(list((resumed.folder / "shards").iterdir())) == len(resumed.units)
    assert list((resumed.folder / "tmp").iterdir()) == []
    xr.testing.assert_allclose(
        resumed.dataset(check=True), whole.dataset(check=True), rtol=TOLERANCE, atol=TOLERANCE
    )
    assert len({count for count in units if 0 < count < len(resumed.units)}) > 1, (
        f"hardly a kill hit the middle: {units}"
    )


@pytest.mark.slow
def test_interrupt_says_how_to_go_on(tmp_path, small_model, corpus):
    process = extraction(corpus, small_model, tmp_path / "store")
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
    process = extraction(corpus, small_model, tmp_path / "store")
    wait_for(process, tmp_path / "store", COMMITTED)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)  # the latter on the way out
    assert len(errors.strip().splitlines()) <= 1, errors
    assert committed(tmp_path / "store") > 0

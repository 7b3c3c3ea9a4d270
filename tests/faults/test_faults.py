"""A part of ``scripts/bench/faults.py``, and proof that it would find what is wrong."""

import shutil
import signal
import subprocess
import sys

import pytest

from actlas.scripts.bench.faults import FAULTS, Extent, small_tmpfs, two_extractors
from actlas.scripts.bench.power import CONTENT, SYNCS, after_power_loss, committed, synced
from actlas.store import Store

PART = Extent(every=40, instants=8)
OF_THEIR_OWN = (two_extractors, small_tmpfs)  # start further servers


def test_an_extraction_takes_every_step_of_the_protocol(ground):
    steps = [step["name"] for step in ground.steps]
    of_a_unit = ["open", "posix_fallocate", "pwritev", "fsync", "chmod", "link", "unlink", "create", "write", "fsync", "link"]
    rest = iter(steps[steps.index("posix_fallocate") - 1 :])
    assert all(name in rest for name in of_a_unit)
    assert len(ground.whole) == steps.count("posix_fallocate") > 2


@pytest.mark.slow
@pytest.mark.parametrize("fault", [name for name, trials in FAULTS.items() if trials not in OF_THEIR_OWN])
def test_nothing_committed_is_lost_or_wrong(fault, ground):
    outcomes = list(FAULTS[fault](ground, PART))
    assert [complaint for outcome in outcomes for complaint in outcome.complaints] == []
    assert [(outcome.lost, outcome.wrong) for outcome in outcomes] == [(0, 0)] * len(outcomes)
    assert outcomes


@pytest.mark.slow
def test_a_disk_that_is_too_small_is_one_line(ground):
    outcomes = list(small_tmpfs(ground, PART))
    if not outcomes:
        pytest.skip("mounting is not allowed here")
    assert [(outcome.lost, outcome.wrong, outcome.complaints) for outcome in outcomes] == [(0, 0, ())] * len(outcomes)
    assert min(outcome.committed for outcome in outcomes) < len(ground.whole)


@pytest.mark.slow
def test_two_extractors_started_together_make_one_copy_without_an_error(ground):
    store = ground.new()
    command = [sys.executable, "-m", "actlas.scripts", *ground.extraction(store)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    assert [(process.returncode, errors) for process, (_, errors) in zip(both, said, strict=True)] == [(0, "")] * 2
    assert all("run it" in output for output, _ in said)
    found = ground.outcome(store)
    assert (found.committed, found.lost, found.wrong, found.complaints) == (len(ground.whole), 0, 0, ())
    run = Store(store).run("it")
    assert len(list((run.folder / "shards").iterdir())) == len(run.units)
    assert list((run.folder / "tmp").iterdir()) == []


def test_the_check_sees_what_is_lost_and_what_is_wrong(ground):
    store = ground.new()
    shutil.copytree(ground.path, store)
    commit = min(store.glob("runs/*/commits/*.json"))
    least = frozenset(ground.whole)
    commit.unlink()
    assert ground.outcome(store, least=least).lost == 1
    shard = max(store.glob("runs/*/shards/*.h5"))
    shard.chmod(0o644)
    with shard.open("r+b") as file:
        file.seek(5000)
        file.write(b"altered")
    assert ground.outcome(store).wrong > 0
    assert ground.outcome(ground.path).wrong == 0


def test_what_is_not_synced_is_lost_when_power_fails(ground):
    names = frozenset(ground.whole)
    assert committed(ground.steps) == names
    unsynced = [step for step in ground.steps if step["name"] not in SYNCS]
    assert committed(unsynced) == set()
    assert not any(safe for step, safe in zip(unsynced, synced(unsynced), strict=True) if step["name"] in CONTENT)
    after_power_loss(unsynced, "names", 0, store := ground.new())
    assert {path.stat().st_size for path in store.glob("runs/*/shards/*.h5")} == {0}
    careless = [step for step in ground.steps if step["name"] != "fsync" or not step["path"].endswith(".h5")]
    after_power_loss(careless, "names", 0, store := ground.new())
    _, problems = ground.look(store)
    assert len(problems) == len(names)  # commits of shards that were not synced: what the protocol is there to prevent
    after_power_loss(ground.steps, "nothing", 0, store := ground.new())
    assert ground.look(store) == (ground.whole, [])


def test_a_hurt_command_ends_as_it_was_told(ground):
    write = next(number for number, step in enumerate(ground.steps) if step["name"] == "pwritev")
    assert ground.run(ground.new(), harm={"kind": "kill", "at": write}).status == -signal.SIGKILL
    full = ground.run(ground.new(), harm={"kind": "error", "at": write, "code": 28})
    assert (full.status, len(full.errors.splitlines())) == (1, 1)
    assert "No space left on device: make room or use another --store" in full.errors
    stopped = ground.run(ground.new(), harm={"kind": "signal", "at": write + 5, "code": signal.SIGTERM})
    assert stopped.status == 130
    assert "run the same command again to go on" in stopped.errors

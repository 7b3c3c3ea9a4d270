"""A part of ``scripts/bench/faults.py``, and proof that it would find what is wrong."""

import errno
import random
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from actlas.scripts.bench.faults import ALL, suite
from actlas.scripts.bench.injection.allocation import fail_allocation
from actlas.scripts.bench.injection.fault_kinds import failing, full, killed, unreadable
from actlas.scripts.bench.injection.operations import OPERATIONS
from actlas.scripts.bench.injection.power import CONTENT, SYNCS, after_power_loss, committed, synced
from actlas.scripts.bench.injection.trials import Extent, hurt
from actlas.store import Store

OF_A_UNIT = (
    "open",
    "posix_fallocate",
    "pwritev",
    "fsync",
    "chmod",
    "link",
    "unlink",
    "create",
    "file write",
    "fsync",
    "link",
)


def test_an_extraction_takes_every_step_of_the_protocol(fixtures):
    steps = [step["name"] for step in fixtures["extract"].steps]
    rest = iter(steps[steps.index("posix_fallocate") - 1 :])
    assert all(name in rest for name in OF_A_UNIT)
    assert steps.count("posix_fallocate") == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
def test_what_an_operation_does_is_seen(name, fixtures):
    fixture = fixtures[name]
    assert fixture.steps
    assert [path for path in fixture.after.files if path.startswith(".") or "/." in path] == []
    if name not in ("gc", "pack", "verify --repair"):  # after those every value is as before
        assert fixture.after.whole != fixture.before.whole
    if name != "verify --repair":  # which leaves variants without what they share
        assert fixture.after.broken == fixture.before.broken


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
def test_nothing_is_lost_or_wrong_and_every_failure_is_a_line(name, fixtures, session):
    fixture = fixtures[name]
    for fault, _, trials in suite([fixture], Extent(), tuple(ALL)):
        if trials:
            outcome = random.Random(f"{fault}/{name}").choice(trials)(session)
            assert outcome.complaints == (), fault
            assert (outcome.lost, outcome.wrong, outcome.tracebacks, outcome.crashes) == (
                0,
                0,
                0,
                0,
            )


@pytest.mark.slow
def test_a_repair_leaves_no_variant_without_the_blocks_that_it_shares(fixtures, session):
    fixture = fixtures["verify --repair"]
    assert fixture.before.broken
    assert fixture.after.broken == {}
    for fault in (killed, unreadable, full):
        for number, trial in enumerate(fault(fixture, Extent())):
            assert trial(session).complaints == (), (fault.__name__, number)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["report", "variance", "study run", "study new", "export"])
def test_drafts_of_a_killed_writer_go_with_the_next_write(name, fixtures, session):
    fixture = fixtures[name]
    steps = [
        number
        for number, step in enumerate(fixture.steps)
        if step["name"] in ("replace", "rename", "link")
    ]
    for at in steps[:3]:
        root = session.copy(fixture)
        answer = fixture.run(session.server, root, harm={"kind": "kill", "at": at})
        assert answer.status == -signal.SIGKILL
        assert {
            path
            for path in root.rglob(".*")
            if path.is_file() or "tmp" in path.name or path.suffix == ".draft"
        }
        assert fixture.judge(session.server, root, answer).complaints == ()


def _syncs(fixture):
    return sum(step["name"] == "fdatasync" for step in fixture.steps)


@pytest.mark.slow
def test_no_error_of_a_sync_is_swallowed(fixtures, session):
    fixture = fixtures["extract, many flushes"]
    # how many flushes begin depends on how soon each ends: at least one does
    assert _syncs(fixture) > _syncs(fixtures["extract"])
    for trial in [
        trial for trial in failing(fixture, Extent(most=8)) if trial.args[0]["harm"].get("only")
    ]:
        assert trial(session).complaints == ()


@pytest.mark.slow
def test_two_extractors_started_together_make_one_copy_without_an_error(fixtures, session):
    fixture = fixtures["extract"]
    root = session.copy(fixture)
    command = [
        sys.executable,
        "-m",
        "actlas.scripts",
        *(word.format(root=root) for word in fixture.operation.words),
    ]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120) for process in both]
    assert [
        (process.returncode, errors) for process, (_, errors) in zip(both, said, strict=True)
    ] == [(0, "")] * 2
    assert all("run new" in output for output, _ in said)
    run = Store(root / "store").run("new")
    assert len(list((run.folder / "shards").iterdir())) == len(run.units)
    assert list((run.folder / "tmp").iterdir()) == []
    assert fixture.judge(session.server, root, None).complaints == ()


@pytest.mark.slow
def test_the_check_sees_what_is_lost_and_what_is_wrong(fixtures, session):
    fixture = fixtures["extract"]
    root = session.copy(fixture)
    run = Store(root / "store").run("it").folder
    min(run.glob("commits/*.json")).unlink()
    outcome = fixture.judge(session.server, root, None)
    assert outcome.lost > 0
    assert outcome.kept == str(root)
    root = session.copy(fixture)
    shard = max(root.glob("store/runs/*/shards/*.h5"))
    shard.chmod(0o644)
    with shard.open("r+b") as file:
        file.seek(5000)
        file.write(b"altered")
    assert fixture.judge(session.server, root, None).wrong > 0
    root = session.copy(fixture)
    shutil.copy(root / "store" / "names" / "it.skip-layer-7", root / "results" / ".draft")
    assert any(
        "left behind" in said for said in fixture.judge(session.server, root, None).complaints
    )


def test_the_check_sees_a_result_that_is_another(fixtures, session):
    fixture = fixtures["extract"]
    root = session.copy(fixture)
    result = next((root / "results").glob("variance*.nc"))
    content = bytearray(result.read_bytes())
    values = np.flatnonzero(np.frombuffer(bytes(content[: len(content) // 8 * 8]), "<u8"))
    content[int(values[len(values) // 2]) * 8] ^= 1
    result.write_bytes(content)
    outcome = fixture.judge(session.server, root, None)
    assert (
        outcome.wrong + outcome.lost > 0 or fixture.before.whole == session.server.look(root).whole
    )


def test_what_is_not_synced_is_lost_when_power_fails(fixtures, session):
    fixture = fixtures["extract"]
    names = {path for path in committed(fixture.steps) if "/commits/" in path}
    assert len(names) == 2
    unsynced = [step for step in fixture.steps if step["name"] not in SYNCS]
    assert committed(unsynced) == set()
    assert not any(
        safe
        for step, safe in zip(unsynced, synced(unsynced), strict=True)
        if step["name"] in CONTENT
    )
    after_power_loss(
        [step for step in unsynced if step["name"] != "rmdir"],
        "names",
        0,
        root := session.copy(fixture),
    )
    assert {path.stat().st_size for path in root.glob("store/runs/*/shards/*.h5")} > {0}
    careless = [
        step
        for step in fixture.steps
        if step["name"] != "fsync" or not step["path"].endswith(".h5")
    ]
    after_power_loss(careless, "names", 0, root := session.copy(fixture))
    assert session.server.look(
        root
    ).broken  # commits of shards that were not synced: what the protocol is there to prevent
    after_power_loss(fixture.steps, "nothing", 0, root := session.copy(fixture))
    assert session.server.look(root).whole == fixture.after.whole


def test_a_hurt_command_ends_as_it_was_reported(fixtures, session):
    fixture = fixtures["extract"]
    write = next(number for number, step in enumerate(fixture.steps) if step["name"] == "pwritev")

    def ended(**harm):
        return fixture.run(session.server, session.copy(fixture), harm={"at": write, **harm})

    assert ended(kind="kill").status == -signal.SIGKILL
    full = ended(kind="error", code=errno.ENOSPC)
    assert (full.status, len(full.errors.splitlines())) == (1, 1)
    assert '"pwritev"' in full.struck
    assert "No space left on device: make room or use another --store" in full.errors
    stopped = ended(kind="signal", at=write + 5, code=signal.SIGTERM)
    assert stopped.status == 130
    assert "run the same command again to go on" in stopped.errors


def test_an_allocation_fails_when_it_is_reported_to():
    code = (
        "import numpy as np; from actlas.scripts.bench.injection.allocation import "
        "fail_allocation as f; f(2)\n"
    )
    code += (
        "np.ones(5000); np.zeros(5000)\ntry: np.ones(5000)\nexcept MemoryError: "
        "print('none'); "
        "np.ones(5000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "none\n"
    assert callable(fail_allocation)


def test_a_trial_that_is_harmless_leaves_nothing(fixtures, session):
    outcome = hurt({"harm": {}}, fixtures["rename"], session)
    assert outcome.complaints == ()
    assert outcome.valid == len(fixtures["rename"].after.whole)

"""``rename``, ``rm``, ``gc``, ``du`` and ``verify --repair`` on a real store."""

import json
import os
import pty
import subprocess
import sys

import pytest

from actlas.store import Store
from tests.store.making import SKIP, flip


def test_rename(actlas, store):
    run_id = store.run("it").id
    assert (
        actlas("rename", "it", "her", "--store", "store").stdout
        == f"run {run_id} is called her, no longer it\n"
    )
    assert Store(store.path).names() == {"her": run_id}
    renamed = json.loads(actlas("rename", run_id, "it", "--store", "store", "--json").stdout)
    assert renamed == {"run": run_id, "old": "her", "names": ["it"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rename", "its", "her"], "unknown run 'its': did you mean it?"),
        (["rename", "it", "../her"], "bad run name '../her'"),
        (["rename", "it"], "Missing argument 'NEW'"),
        (["rm", "its"], "unknown run 'its': did you mean it?"),
        (["rm"], "Missing argument 'RUN'"),
        (["gc", "it"], "unexpected extra argument (it)"),
        (["pack", "its"], "unknown run 'its'"),
        (["pack", "it", "--most", "0"], "0 is not in the range"),
        (["du", "--by", "site"], "No such option"),
        (["verify", "its", "--repair"], "unknown run 'its'"),
    ],
)
def test_wrong_usage_is_one_line_and_changes_nothing(actlas, store, arguments, message):
    before = sorted(store.path.rglob("*"))
    done = actlas(*arguments, ACTLAS_STORE=str(store.path))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert message in done.stderr
    assert sorted(store.path.rglob("*")) == before


def answer(store, text, *options):
    """Run ``rm it`` on a terminal, answer, and return its exit code."""
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "actlas.scripts", "rm", "it", "--store", store.path, *options]
    with subprocess.Popen(
        command, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        os.write(master, text)
        process.wait(60)
    os.close(master)
    os.close(terminal)
    return process.returncode


def test_rm_asks_on_a_terminal(store):
    assert answer(store, b"n\n") == 1
    assert answer(store, b"\n") == 1
    assert store.run("it").names == ("it",)
    assert answer(store, b"y\n") == 0
    assert store.runs() == []


def test_rm_does_not_ask_where_reported_not_to_or_nobody_is_there(actlas, store, stored_once):
    run_id = store.run("it").id
    assert answer(store, b"", "--yes") == 0
    assert store.runs() == []
    subprocess.run(["cp", "-r", stored_once / "store" / "runs", store.path], check=True)
    done = json.loads(actlas("rm", run_id[:8], "--store", "store", "--json").stdout)
    assert (done["run"], done["names"], done["bytes"] > 10_000) == (run_id, [], True)


def test_a_baseline_is_removed_by_force_alone(actlas, store):
    run = store.run("it")
    store.name(
        store.add({**run.specification, "edits": [SKIP]}, run.description, run.units), "skipped"
    )
    done = actlas("rm", "it", "--store", "store", "--yes")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "is the baseline of skipped: remove it first, or give --force" in done.stderr
    assert actlas("rm", "it", "--store", "store", "--yes", "--force").returncode == 0
    assert list(Store(store.path).names()) == ["skipped"]


def test_gc_lists_then_sweeps(actlas, store):
    stray = store.run("it").folder / "shards" / "00000000-00000000-0123456789ab.h5"
    stray.write_bytes(b"12345")
    listed = actlas("gc", "--store", "store", "--dry-run")
    assert listed.stdout == f"{stray}: shard without a commit, 5 B\n" + (
        "1 item, 5 B: nothing was removed\n"
    )
    assert stray.exists()
    removed = json.loads(actlas("gc", "--store", "store", "--json").stdout)
    assert (removed["bytes"], [item["kind"] for item in removed["garbage"]]) == (
        5,
        ["shard without a commit"],
    )
    assert not stray.exists()
    assert actlas("gc", "--store", "store").stdout == "0 items, 0 B removed\n"


def test_gc_says_what_damage_keeps(actlas, store):
    run = store.run("it")
    (run.folder / "shards" / "stray.h5").touch()
    flip(next((run.folder / "commits").iterdir()), 20)
    done = actlas("gc", "--store", "store")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert (run.folder / "shards" / "stray.h5").exists()


def test_du(actlas, store):
    run = store.run("it")
    shown = actlas("du", "--store", "store").stdout
    assert all(site in shown for site in run.sites)
    record = json.loads(actlas("du", "--store", "store", "--json").stdout)
    of_run = sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())
    readouts = sum(path.stat().st_size for path in (store.path / "readouts").glob("*.h5"))
    assert record["readouts"] == readouts > 0
    assert record["bytes"] == of_run + readouts
    assert record["runs"][0]["sites"]["nll"] == 4 * run.tokens
    assert record["garbage"] == 0


def test_verify_repair_drops_and_its_command_restores(actlas, store, stored_once, tmp_path):
    run = store.run("it")
    damaged = run.commits[1]
    flip(run.path(damaged), damaged.sites["q"].offset)
    done = actlas("verify", "it", "--store", "store", "--repair")
    assert done.returncode == 0, done.stderr
    assert (
        f"dropped unit {damaged.unit.number} ({' '.join(sorted(damaged.sites))}) of it"
        in done.stdout
    )
    command = done.stdout.splitlines()[-1].split()
    assert command[:3] == ["actlas", "extract", "SENTENCES"]
    assert actlas("verify", "--store", "store").returncode == 0
    command[2] = str(stored_once / "her.txt")
    restored = actlas(*command[1:])
    assert restored.returncode == 0, restored.stderr
    assert f"computed 1 unit, {damaged.unit.tokens} tokens" in restored.stdout
    again = Store(store.path).run("it")
    assert (again.sites, again.missing(run.sites), len(again.commits)) == (
        run.sites,
        [],
        len(run.commits),
    )
    assert (
        json.loads(actlas("verify", "--store", "store", "--repair", "--json").stdout)["repairs"]
        == {}
    )


def test_verify_repair_says_what_it_left(actlas, store):
    run = store.run("it")
    shard = run.path(run.commits[0])
    shard.unlink()
    shard.symlink_to(shard.name)
    done = actlas("verify", "--store", "store", "--repair")
    assert done.returncode == 1
    assert "was left alone" in done.stderr
    assert "dropped" not in done.stdout


@pytest.mark.slow
def test_pack(actlas, store, tmp_path):
    run = store.run("it")
    count = len(run.commits)
    before = actlas(
        "variance", "it", "--store", "store", "--target", "her", "--json", "--out", "before"
    )
    done = actlas("pack", "it", "--store", "store")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"run it: {count} units packed, {count} files before, 1 now\n"
    assert actlas("verify", "--store", "store").stdout.startswith(f"it: {count} commits")
    after = actlas(
        "variance", "it", "--store", "store", "--target", "her", "--json", "--out", "before"
    )
    assert json.loads(after.stdout) == json.loads(before.stdout)
    assert "in 1 file\n" in actlas("show", "it", "--store", "store").stdout
    record = json.loads(actlas("du", "--store", "store", "--json").stdout)
    assert record["bytes"] - record["readouts"] == sum(
        path.stat().st_size for path in run.folder.rglob("*") if path.is_file()
    )
    again = json.loads(actlas("pack", "it", "--store", "store", "--json").stdout)
    assert again == {"run": run.id, "files": {"before": 1, "after": 1}, "units": 0}


def test_a_packed_run_is_extended_as_any_other(actlas, store, stored_once, small_model):
    actlas("pack", "it", "--store", "store")
    options = ["--model", small_model, "--store", "store", "--site", "z"]
    done = actlas("extract", stored_once / "her.txt", *options)
    assert done.returncode == 0, done.stderr
    run = store.run("it")
    assert "z" in run.sites
    assert len({commit.file for commit in run.commits}) == 1 + len(run.units)
    assert (
        json.loads(actlas("pack", "it", "--store", "store", "--json").stdout)["files"]["after"] == 2
    )
    assert actlas("verify", "--store", "store").returncode == 0

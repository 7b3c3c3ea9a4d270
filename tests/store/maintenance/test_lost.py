"""Records that are lost.

Reported, made again from what the files themselves say, and never a reason to remove data.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.store import Run, Store
from actlas.store.format.schema import seal
from actlas.store.io.workspace import collect_garbage, workspace
from actlas.store.maintenance.gc import collect
from actlas.store.maintenance.repair import repair
from actlas.store.maintenance.verify import verify
from actlas.store.writing.pack import pack
from tests.store.making import (
    FIRST,
    Content,
    flip,
    make_run,
    make_variant,
    problems,
    shards,
    write_unit,
)

SITES = ("attn_out", "final_norm", "nll", "q", "resid")


def records(run):
    return [path for part in ("commits", "packed") for path in (run.folder / part).glob("*.json")]


def shards_of(run):
    return list((run.folder / "shards").glob("*.h5"))


def check_values(run, content):
    assert problems(run) == []
    run.refresh()
    for site, array in run.dataset().data_vars.items():
        np.testing.assert_array_equal(array.values, content.values[site])


@pytest.fixture(params=[False, True], ids=["single", "packed"])
def run(request, copied):
    """A complete run in files of one unit, or in one file."""
    if request.param:
        pack(copied)
    return copied


@pytest.mark.parametrize("everything", [False, True], ids=["files", "folders"])
def test_lost_records_are_reported_and_come_back(run, everything, content, actlas):
    names = {path: path.read_bytes() for path in records(run)}
    for path in names:
        path.unlink()
    for folder in ("commits", "packed") if everything else ():
        shutil.rmtree(run.folder / folder, ignore_errors=True)
    store = ("--store", run.folder.parents[1])
    done = actlas("verify", *store)
    assert done.returncode == 1
    assert done.stderr.count("no record speaks of it: `actlas verify --repair` restores it") == len(
        shards_of(run)
    )
    assert "ok" not in done.stdout
    assert collect_garbage(run.folder) == []
    done = actlas("verify", "--repair", *store)
    assert (
        done.returncode,
        "restored the record of unit 2 of her" in done.stdout,
        "actlas extract" in done.stdout,
    ) == (
        0,
        True,
        False,
    )
    check_values(Run(run.folder), content)
    if "commits" in str(next(iter(names))):
        assert {path: path.read_bytes() for path in records(run)} == names


def test_gc_restores_and_sweeps_nothing(run, content, actlas):
    before = {path.name for path in (run.folder / "shards").iterdir()}
    for path in records(run):
        path.unlink()
    done = actlas("gc", "--dry-run", "--json", "--store", run.folder.parents[1])
    assert '"garbage": []' in done.stdout
    assert actlas("gc", "--store", run.folder.parents[1]).returncode == 0
    assert {path.name for path in (run.folder / "shards").iterdir()} == before
    check_values(Run(run.folder), content)


def test_a_lost_commit_comes_back_with_the_next_writer_and_is_not_computed_again(copied, content):
    min((copied.folder / "commits").iterdir()).unlink()
    with workspace(copied.folder) as work:
        assert work.restored == (0,)
    check_values(Run(copied.folder), content)


def test_what_was_dropped_on_purpose_does_not_come_back(run, content):
    unit = run.commits[1]
    flip(run.path(unit), unit.sites["q"].offset)
    assert [item.unit for item in repair(run, list(verify(run))).dropped] == [1]
    assert write_unit(run, content, 1, SITES)
    check_values(run, content)
    for path in (run.folder / "packed").glob("*.json"):
        path.unlink()
    found = list(verify(run))
    # packed: of the file two units are restored, the third is the one that was made again
    if found[-1].problems:
        assert repair(run, found).restored == ("the record of unit 0", "the record of unit 2")
    check_values(run, content)


def test_a_lost_record_of_a_damaged_shard_is_a_unit_to_extract_again(copied, content):
    commit = copied.commits[0]
    flip(copied.path(commit), commit.sites["q"].offset)
    min((copied.folder / "commits").iterdir()).unlink()
    assert "q[layer 0] was altered" in collect(Store(copied.folder.parents[1])).problems[0]
    done = repair(copied, list(verify(copied)))
    assert ([item.unit for item in done.dropped], done.left, done.restored) == ([0], (), ())
    assert problems(copied) == []
    assert write_unit(copied, content, 0, SITES)
    check_values(copied, content)


def test_a_shard_of_another_run_is_reported_and_left(copied, tmp_path):
    other = make_run(tmp_path / "other", Content(seed=3), other=1)
    stranger = shutil.copy(shards(other)[0], copied.folder / "shards")
    assert f"holds unit 0 of run {other.id}, and no record speaks of it" in problems(copied)[0]
    done = repair(copied, list(verify(copied)))
    assert (done.dropped, f"belongs to run {other.id}" in done.left[0]) == ((), True)
    assert Path(stranger).exists()


def test_a_second_copy_of_a_unit_is_removed(copied):
    true = shards(copied)[0]
    second = shutil.copy(true, true.with_name(f"{true.stem[:-4]}ffff.h5"))
    assert problems(copied) == []
    assert [str(path) for path in collect_garbage(copied.folder)] == [str(second)]


def test_a_variant_gets_its_records_back_unless_its_baseline_differs(tmp_path, content):
    before, after = Content(), Content(seed=1)
    baseline = make_run(tmp_path / "store", before, "clean", edits=[])
    variant = make_variant(tmp_path / "store", baseline, after, FIRST)
    values = {site: array.values for site, array in variant.dataset().data_vars.items()}
    for path in records(variant):
        path.unlink()
    assert len(repair(variant, list(verify(variant))).restored) == 3
    for site, array in Run(variant.folder).dataset().data_vars.items():
        np.testing.assert_array_equal(array.values, values[site])


def test_units_dropped_from_a_file_stay_away_when_it_is_packed_again(copied, content):
    pack(copied, 1)
    pack(copied)
    commit = copied.commits[1]
    flip(copied.path(commit), commit.sites["q"].offset)
    assert [item.unit for item in repair(copied, list(verify(copied))).dropped] == [1]
    assert write_unit(copied, content, 1, SITES)
    copied.refresh()
    pack(copied)
    assert len(shards_of(copied)) == 1
    check_values(copied, content)


@pytest.mark.parametrize("site", ["resid", "nll"])
@pytest.mark.parametrize("packed", [False, True], ids=["single", "packed"])
def test_a_unit_of_a_variant_goes_with_the_unit_it_shares_blocks_of_whatever_was_damaged_there(
    site, packed, tmp_path
):
    baseline = make_run(tmp_path / "store", Content(), "clean", edits=[])
    variant = make_variant(tmp_path / "store", baseline, Content(seed=1), FIRST)
    for run in (baseline, variant) if packed else ():
        pack(run)
    commit = baseline.commits[1]
    flip(baseline.path(commit), commit.sites[site].offset)
    found = [list(verify(run)) for run in (baseline, variant)]
    dropped = [
        repair(run, items).dropped for run, items in zip((baseline, variant), found, strict=True)
    ]
    assert [[item.unit for item in each] for each in dropped] == [[1], [1]]
    assert problems(baseline) == problems(variant) == []


@pytest.mark.parametrize("harm", ["later", "unreadable", "run.json", "away"])
def test_a_baseline_of_which_nothing_is_known_costs_no_variant(harm, tmp_path):
    baseline = make_run(tmp_path / "store", Content(), "clean", edits=[])
    variant = make_variant(tmp_path / "store", baseline, Content(seed=1), FIRST)
    path = min((baseline.folder / "commits").iterdir())
    record = json.loads(path.read_bytes())
    if harm == "away":
        baseline.folder.rename(tmp_path / "elsewhere")
    else:
        path = baseline.folder / "run.json" if harm == "run.json" else path
        path.unlink()
        if harm != "run.json":
            del record["checksum"]
            path.write_bytes(seal({**record, "version": 2}) if harm == "later" else b"{")
    before = {path: path.read_bytes() for path in variant.folder.rglob("*.*")}
    done = repair(variant, list(verify(variant)))
    assert done.dropped == ()
    assert done.left
    assert {path: path.read_bytes() for path in variant.folder.rglob("*.*")} == before


@settings(max_examples=20)
@given(data=st.data())
def test_any_records_lost_in_any_state_of_packing_come_back(
    data, stored, tmp_path_factory, content
):
    store = shutil.copytree(stored.folder.parents[1], tmp_path_factory.mktemp("lost") / "store")
    run = Run(store / "runs" / stored.id)
    for _ in range(data.draw(st.integers(0, 2))):
        pack(run, data.draw(st.sampled_from([1, 30_000, 1 << 30])))
    for path in records(run):
        if data.draw(st.booleans()):
            path.unlink()
    done = repair(run, list(verify(run)))
    assert (done.dropped, done.left) == ((), ())
    check_values(run, content)

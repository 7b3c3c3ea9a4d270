"""Variants share the blocks before their first edit with their baseline.

What is gone is never read as anything.
"""

import dataclasses
import runpy
import shutil

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.store import DamagedStore, Store
from actlas.store.format.schema import SharedSite, Unit, seal
from actlas.store.labels.relabel import relabel
from actlas.store.maintenance.repair import repair
from actlas.store.maintenance.verify import verify
from actlas.store.maintenance.verify_export import verify_export
from actlas.store.runs.commits import read_commit
from actlas.store.writing.export import export
from actlas.store.writing.pack import pack
from actlas.store.writing.selection import Selection
from tests.store.making import FIRST, Content, flip, make_run, make_variant, shards, write_unit
from tests.store.test_golden import READER


@pytest.fixture
def pair(tmp_path):
    before, after = Content(seed=1), Content(seed=2)
    baseline = make_run(tmp_path / "store", before, edits=[])
    return baseline, make_variant(tmp_path / "store", baseline, after), before, after


def stored_bytes(run):
    return sum(site.layout.nbytes for commit in run.commits for site in commit.sites.values())


def whole_of(before, after, site, first=FIRST):
    values = after.values[site].copy()
    dim = {"resid": "depth", "q": "layer", "attn_out": "layer"}.get(site)
    if dim:
        values[: first[dim]] = before.values[site][: first[dim]]
    return values


@pytest.mark.parametrize("check", [False, True])
def test_a_variant_reads_its_baselines_blocks_and_then_its_own(pair, check):
    baseline, variant, before, after = pair
    dataset = variant.dataset(check=check)
    for site in after.dtypes:
        np.testing.assert_array_equal(dataset[site].values, whole_of(before, after, site))
    np.testing.assert_array_equal(dataset["depth"], np.arange(4))
    assert variant.sites == baseline.sites
    assert [checked.problems for checked in verify(variant)] == [()] * 3
    assert stored_bytes(variant) < 0.7 * stored_bytes(baseline)


@pytest.mark.slow
@settings(max_examples=20)
@given(first=st.fixed_dictionaries({"layer": st.integers(0, 3), "depth": st.integers(0, 4)}))
def test_any_number_of_blocks_can_be_shared(first, tmp_path_factory):
    """By shards of a unit and by packed files; the reader in the docs finds them too."""
    path = tmp_path_factory.mktemp("shared") / "store"
    before, after = Content(seed=1), Content(seed=2)
    baseline = make_run(path, before, edits=[])
    variant = make_variant(path, baseline, after, first)
    for packed in ((), (variant,), (baseline,)):
        for run in packed:
            assert pack(run).after == 1
        again, read = Store(path).run(variant.id), runpy.run_path(str(READER))["read_site"]
        assert [checked.problems for checked in verify(again)] == [()] * 3
        for site in after.dtypes:
            expected = whole_of(before, after, site, first)
            np.testing.assert_array_equal(again.dataset([site])[site].values, expected)
            np.testing.assert_array_equal(read(path, variant.id, site)[0], expected)


def test_a_variants_shard_says_which_blocks_it_has(pair):
    _, variant, _, after = pair
    with xr.open_dataset(shards(variant)[0], engine="h5netcdf") as dataset:
        assert dataset["depth"].values.tolist() == [2, 3]
        assert dataset["layer"].values.tolist() == [1, 2]
        np.testing.assert_array_equal(
            dataset["resid"].values, after.values["resid"][2:, after.rows(after.plan[0])]
        )


def test_a_baseline_that_is_missing_is_an_error_that_names_it(pair):
    baseline, variant, _, _ = pair
    shutil.rmtree(baseline.folder)
    again = Store(variant.folder.parent.parent).run(variant.id)
    with pytest.raises(
        DamagedStore, match=f"needs blocks of its baseline {baseline.id}, which is not there"
    ):
        again.dataset(["resid"])
    with pytest.raises(
        DamagedStore,
        match=f"labels of run .* are those of its baseline {baseline.id}, which is not there",
    ):
        again.dataset(["nll"])  # nothing of its numbers is shared
    relabel(again, {"kind": np.arange(again.sentences)}, "given again")
    assert again.dataset(["nll"])["nll"].size
    assert all("which is not there" in checked.problems[0] for checked in verify(again))


def test_a_baselines_shard_that_is_missing_is_an_error_that_names_it(pair):
    baseline, variant, _, _ = pair
    shard = shards(baseline)[1]
    shard.unlink()
    with pytest.raises(DamagedStore, match=f"{shard.name} is missing"):
        variant.dataset(["resid"])["resid"].values  # noqa: B018  # computes
    assert [bool(checked.problems) for checked in verify(variant)] == [False, True, False]


def test_an_altered_shared_block_is_reported_for_the_variant_too(pair):
    baseline, variant, _, _ = pair
    commit = baseline.commits[2]
    flip(baseline.path(commit), commit.sites["resid"].offset + 1)
    found = [checked.problems for checked in verify(variant)]
    assert found[:2] == [(), ()]
    assert "resid[0] was altered" in found[2][0]
    with pytest.raises(DamagedStore, match=r"resid\[0\] was altered"):
        variant.dataset(["resid"], check=True)["resid"].values  # noqa: B018  # computes


def test_a_block_of_the_baseline_that_is_not_shared_is_none_of_the_variants_business(pair):
    baseline, variant, _, _ = pair
    commit = baseline.commits[0]
    site = commit.sites["resid"]
    flip(baseline.path(commit), site.offset + 2 * site.layout.block_bytes)
    assert not any(checked.problems for checked in verify(variant))
    assert any(checked.problems for checked in verify(baseline))


def test_a_baseline_with_other_values_is_not_taken_for_the_old_one(pair):
    baseline, variant, _, _ = pair
    shutil.rmtree(baseline.folder)
    make_run(variant.folder.parent.parent, Content(seed=3), edits=[])
    again = Store(variant.folder.parent.parent).run(variant.id)
    with pytest.raises(DamagedStore, match="was made with other values of resid"):
        again.dataset(["resid"])


def test_a_baseline_in_other_units_is_not_taken_for_an_unfinished_one(pair):
    baseline, variant, before, _ = pair
    shutil.rmtree(baseline.folder)
    path = variant.folder.parent.parent
    merged = (
        Unit(
            0,
            0,
            sum(unit.sentences for unit in before.plan),
            sum(unit.tokens for unit in before.plan),
        ),
    )
    Store(path).add(baseline.specification, baseline.description, merged)
    with pytest.raises(
        DamagedStore, match=r"was made in other units than its baseline .* has now: remove this run"
    ):
        Store(path).run(variant.id).dataset(["resid"])


def test_a_baseline_that_lacks_the_site_says_how_to_add_it(pair):
    baseline, variant, _, _ = pair
    for commit in (baseline.folder / "commits").iterdir():
        commit.unlink()
    with pytest.raises(
        DamagedStore, match=r"needs resid of unit 0 of its baseline .* which lacks it"
    ):
        Store(variant.folder.parent.parent).run(variant.id).dataset(["resid"])


def test_a_commit_whose_blocks_do_not_follow_those_of_its_baseline_is_refused(pair):
    _, variant, _, _ = pair
    path = min((variant.folder / "commits").iterdir())
    commit = read_commit(path)
    (before,) = commit.pools["shared"]
    more = SharedSite(before["resid"].run, (0, 1, 2), ("0" * 16,) * 3)
    pools = {**commit.pools, "shared": [{**before, "resid": more}]}
    path.chmod(0o644)
    path.write_bytes(seal(dataclasses.replace(commit, pools=pools).to_json()))
    with pytest.raises(DamagedStore, match="resid from 2 on, behind 2 shared"):
        read_commit(path)


def test_a_variant_is_packed_and_exported_like_any_run(pair, tmp_path):
    baseline, variant, before, after = pair
    assert pack(variant).after == pack(baseline).after == 1
    exported, _ = export(variant, tmp_path / "variant.h5")
    for run in (variant, exported):
        dataset = run.dataset()
        for site in after.dtypes:
            np.testing.assert_array_equal(dataset[site].values, whole_of(before, after, site))
    assert not [
        problem
        for checked in (*verify(variant), *verify_export(exported))
        for problem in checked.problems
    ]
    part, _ = export(variant, tmp_path / "part.h5", Selection(sites=("resid", "q"), layers=(0, 2)))
    np.testing.assert_array_equal(part.dataset()["q"], whole_of(before, after, "q")[[0, 2]])
    np.testing.assert_array_equal(part.dataset()["resid"], whole_of(before, after, "resid"))


@pytest.mark.parametrize("packed", [False, True])
def test_repair_leaves_a_variant_whose_own_blocks_are_sound(pair, packed):
    baseline, variant, before, after = pair
    for run in pair[:2] if packed else ():
        assert pack(run).after == 1
    commit = baseline.commits[1]
    flip(baseline.path(commit), commit.sites["resid"].offset)
    kept = repair(variant, list(verify(variant)))
    assert kept.dropped == ()
    assert (
        f"blocks of its baseline are damaged: `actlas verify {baseline.id} --repair`"
        in kept.left[0]
    )
    assert [dropped.unit for dropped in repair(baseline, list(verify(baseline))).dropped] == [1]
    write_unit(baseline, before, 1, tuple(before.dtypes))
    variant.refresh()
    np.testing.assert_array_equal(variant.dataset()["resid"], whole_of(before, after, "resid"))
    own = variant.commits[2]
    flip(variant.path(own), own.sites["resid"].offset)
    assert [dropped.sites for dropped in repair(variant, list(verify(variant))).dropped] == [
        tuple(sorted(after.dtypes))
    ]

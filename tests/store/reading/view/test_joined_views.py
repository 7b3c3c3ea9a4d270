"""Views that meet in one computation: of the same sentences, or refused."""

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from actlas.store.reading.concat import concat_runs
from actlas.store.reading.sentence_index import SentenceError
from actlas.store.writing.export import export
from actlas.store.writing.selection import Selection


def test_pairs_of_one_sentence_are_subtracted_and_others_refused(ds, content):
    values = content.values["nll"]
    first, second = ds["nll"].isel(token=[0, 4, 8]), ds["nll"].isel(token=[1, 5, 9])
    np.testing.assert_array_equal(first - second, values[[0, 4, 8]] - values[[1, 5, 9]])
    elsewhere = ds["nll"].isel(token=[4, 0, 8])
    for refused in (
        lambda: first - elsewhere,
        lambda: first - second.isel(token=[0, 1]),
        lambda: xr.align(first, elsewhere, join="outer"),
        lambda: xr.align(first, elsewhere, join="left"),
        lambda: first.reindex_like(elsewhere),
    ):
        with pytest.raises(
            SentenceError,
            match=r"^cannot align tokens of different sentences along 'token' \(3 tokens of",
        ):
            refused()
    with pytest.raises(ValueError, match="cannot align objects with join='exact'"):
        xr.apply_ufunc(np.add, first, elsewhere)
    bare = [array.drop_vars("sentence") for array in (first, elsewhere)]
    np.testing.assert_array_equal(bare[0] - bare[1], values[[0, 4, 8]] - values[[4, 0, 8]])


def test_a_variant_goes_with_its_baseline_and_no_other_run_does(ds, variant, other):
    theirs = variant.dataset()
    np.testing.assert_array_equal(
        theirs["resid"] - ds["resid"], theirs["resid"].values - ds["resid"].values
    )
    both = xr.concat([ds, theirs], xr.Variable("variant", ["clean", "skip"]))
    np.testing.assert_array_equal(
        both["nll"].sel(variant="skip", sentence=2), theirs["nll"].sel(sentence=2)
    )
    assert both["nll"].sel(sentence=2).sizes == {"variant": 2, "token": 4}
    for refused in (
        lambda: ds["nll"] - other.dataset()["nll"],
        lambda: xr.align(ds, other.dataset(), join="outer"),
    ):
        with pytest.raises(
            SentenceError,
            match=r"cannot align tokens of different sentences .*those of runs .* differ",
        ):
            refused()


@pytest.mark.slow
@given(cuts=st.sets(st.integers(1, 15), max_size=3))
def test_parts_of_a_run_make_the_whole(cuts, run):
    whole = run.dataset()
    edges = [0, *sorted(cuts), 16]
    parts = [whole.isel(token=slice(*ends)) for ends in pairwise(edges)]
    again = xr.concat(parts, "token")
    xr.testing.assert_identical(again.compute(), whole.compute())
    assert again.sel(sentence=2).sizes["token"] == 4


def test_two_runs_are_joined_by_what_renumbers_their_sentences(ds, other, variant, content):
    for second in (other.dataset(), variant.dataset()):
        for one, two in ((ds, second), (ds["nll"], second["nll"])):
            with pytest.raises(
                SentenceError,
                match=r"cannot concatenate tokens of 2 runs along 'token'.*concat_runs",
            ):
                xr.concat([one, two], "token")
        both = concat_runs([ds, second])
        means = [each["nll"].groupby("sentence").mean().values for each in (ds, second)]
        np.testing.assert_array_equal(both["nll"].groupby("sentence").mean(), np.concatenate(means))
        np.testing.assert_array_equal(
            both.isel(token=both["run"] == second.attrs["run"])["nll"], second["nll"]
        )
        assert both.sel(sentence=8)["text"].values[0] == second.sel(sentence=2)["text"].values[0]
        with pytest.raises(SentenceError, match="rename it first"):
            concat_runs([both, second])
    with pytest.raises(SentenceError, match="expected each run once"):
        concat_runs([ds, ds])
    with pytest.raises(SentenceError, match="expected views of runs"):
        concat_runs([ds.drop_vars("sentence"), other.dataset()])
    with pytest.raises(ValueError, match="kind"):
        concat_runs([ds, other.dataset().drop_vars("kind")])


def test_parts_of_other_sentences_that_are_renumbered_are_other_sentences(run, ds, tmp_path):
    kept = {
        name: np.array(tokens)
        for name, tokens in {"a": [0, 1, 2, 4], "b": [3, 8], "c": [9, 10]}.items()
    }
    first, second, third = (
        export(run, tmp_path / f"{name}.h5", Selection(tokens=tokens))[0].dataset()
        for name, tokens in kept.items()
    )
    assert second["sentence_in_run"].values.tolist() == [1, 3]
    assert second["sentence"].values.tolist() == [0, 1]
    with pytest.raises(SentenceError, match="cannot concatenate"):
        xr.concat([second, third], "token")
    with pytest.raises(SentenceError, match="cannot align"):
        second["nll"] - ds["nll"].isel(token=[0, 3])
    whole = export(run, tmp_path / "whole.h5")[0].dataset()
    np.testing.assert_array_equal(whole["nll"] - ds["nll"], np.zeros(16))
    assert first["kind"].values.tolist() == ["x", "x", "x", "x"]

"""Downstream effects against plain NumPy, and the laws they obey."""

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actlas.analysis.downstream.compute import Variant, downstream, redundancy
from actlas.analysis.groups import select_groups
from actlas.analysis.groups.resampling import resampling
from actlas.analysis.groups.token_groups import Members, Origin, TokenGroups

finite = st.floats(-1e4, 1e4, width=32)


@st.composite
def pairs(draw):
    """Return a baseline and a variant of a few sentences, lazily chunked by (depth, unit)."""
    rows = draw(
        st.lists(st.integers(1, 5), min_size=2, max_size=6).filter(lambda rows: max(rows) > 1)
    )
    shape = (draw(st.integers(2, 4)), sum(rows), draw(st.integers(1, 5)))
    clean = draw(hnp.arrays(np.float32, shape, elements=finite))
    edited = clean.copy()
    first = draw(st.integers(0, shape[0]))
    edited[first:] = draw(hnp.arrays(np.float32, (shape[0] - first, *shape[1:]), elements=finite))
    losses = draw(hnp.arrays(np.float32, (2, sum(rows)), elements=st.floats(0, 20, width=32)))
    return dataset(rows, clean, losses[0]), dataset(rows, edited, losses[1]), first


def dataset(rows, resid, nll):
    position = np.concatenate([np.arange(row) for row in rows])
    nll = np.where(position == 0, np.nan, nll).astype(np.float32)
    units = (sum(rows[:1]), sum(rows[1:]))
    lazy = xr.Dataset(
        {"resid": (("depth", "token", "d_model"), resid), "nll": ("token", nll)}
    ).chunk({"depth": 1, "token": units})
    return lazy.assign_coords(
        position=("token", position),
        token_id=("token", np.arange(len(position))),
        sentence=("token", np.repeat(np.arange(len(rows)), rows)),
        depth=np.arange(len(resid)),
    )


@pytest.mark.slow
@settings(max_examples=60)
@given(pairs(), st.booleans())
def test_agrees_with_numpy(pair, include_first):
    clean, edited, _ = pair
    choice = "include" if include_first else "leave"
    groups = select_groups(clean, first_token=choice, every=True)
    got = downstream(clean, [Variant("v", "e", 0, edited)], groups).compute().sel(variant="v")
    kept = np.ones(clean.sizes["token"], bool) if include_first else clean["position"].values > 0
    h, g = (part["resid"].values.astype(np.float64)[:, kept] for part in (clean, edited))
    size = np.sqrt((h**2).sum((1, 2)))
    wanted = np.sqrt(((h - g) ** 2).sum((1, 2)))
    np.testing.assert_allclose(got["delta"], wanted, rtol=1e-12)
    share = np.divide(wanted, size, out=np.full_like(size, np.nan), where=size > 0)
    np.testing.assert_allclose(got["relative_delta"], share, rtol=1e-10)
    np.testing.assert_allclose(got["std"], g.std((1, 2)), rtol=1e-7, atol=1e-6)
    np.testing.assert_allclose(got["baseline_std"], h.std((1, 2)), rtol=1e-7, atol=1e-6)
    np.testing.assert_allclose(
        got["step"][1:], np.sqrt((np.diff(g, axis=0) ** 2).sum((1, 2))), rtol=1e-12
    )
    assert np.isnan(got["step"][0])
    change = edited["nll"].values.astype(np.float64) - clean["nll"].values
    np.testing.assert_allclose(got["nll_change"], np.nanmean(change), rtol=1e-9, atol=1e-12)
    starts = np.cumsum([0, *np.bincount(clean["sentence"])])
    for sentence, (start, end) in enumerate(pairwise(starts)):
        rows = np.arange(start, end)[kept_in(clean, start, end, include_first)]
        difference = (
            clean["resid"].values[:, rows].astype(np.float64) - edited["resid"].values[:, rows]
        )
        np.testing.assert_allclose(
            got["sentence_delta"][:, sentence], np.sqrt((difference**2).sum((1, 2))), rtol=1e-12
        )
        if end - start > 1:
            np.testing.assert_allclose(
                got["sentence_nll_change"][sentence],
                np.nanmean(change[start:end]),
                rtol=1e-9,
                atol=1e-12,
            )
        else:
            assert np.isnan(got["sentence_nll_change"][sentence])


def kept_in(data, start, end, include_first):
    return (data["position"].values[start:end] > 0) | include_first


@pytest.mark.slow
@settings(max_examples=30)
@given(pairs())
def test_nothing_changes_upstream_and_nothing_between_equals(pair):
    clean, edited, first = pair
    got = downstream(
        clean, [Variant("edited", "e", first, edited), Variant("same", "e", 9, clean)]
    ).compute()
    assert (got["delta"].sel(variant="edited")[:first] == 0).all()
    assert (got["delta"].sel(variant="same") == 0).all()
    assert float(got["nll_change"].sel(variant="same")) == 0
    np.testing.assert_array_equal(got["step"].sel(variant="same"), got["baseline_step"])
    assert got["first_depth"].values.tolist() == [first, 9]


@pytest.mark.slow
@settings(max_examples=30)
@given(pairs())
def test_pooled_deltas_are_the_sentences_joined(pair):
    clean, edited, _ = pair
    got = downstream(clean, [Variant("v", "e", 0, edited)]).compute()
    np.testing.assert_allclose(
        (got["sentence_delta"] ** 2).sum("sentence") ** 0.5, got["delta"], rtol=1e-12
    )


@pytest.mark.slow
@settings(max_examples=30)
@given(pairs())
def test_redundancy_is_the_end_of_downstream(pair):
    clean, edited, _ = pair
    got = redundancy(clean, {3: edited, 5: clean}).compute()
    wanted = downstream(clean, [Variant("v", "e", 0, edited)]).compute()
    assert got["layer"].values.tolist() == [3, 5]
    np.testing.assert_allclose(got["nll_change"].sel(layer=3), wanted["nll_change"][0])
    np.testing.assert_allclose(
        got["final_relative_delta"].sel(layer=3), wanted["relative_delta"][0, -1], equal_nan=True
    )
    assert float(got["nll_change"].sel(layer=5)) == 0


def small(seed=0, rows=(2, 3)):
    random = np.random.default_rng(seed)
    return dataset(
        list(rows),
        random.normal(size=(3, sum(rows), 4)).astype(np.float32),
        random.random(sum(rows)),
    )


def test_half_precision_is_widened_before_it_is_subtracted():
    clean, edited = small(), small(1)
    clean["resid"], edited["resid"] = (
        clean["resid"].astype(np.float16) * 1e4,
        -clean["resid"].astype(np.float16) * 1e4,
    )
    got = downstream(clean, [Variant("v", "e", 0, edited)]).compute()
    assert np.isfinite(got["delta"]).all()
    np.testing.assert_allclose(got["relative_delta"], 2, rtol=1e-12)


def test_a_store_without_losses_gives_deltas_alone():
    clean, edited = small().drop_vars("nll"), small(1)
    got = downstream(clean, [Variant("v", "e", 0, edited)])
    assert "nll_change" not in got
    assert "delta" in got


def test_other_tokens_are_refused():
    with pytest.raises(ValueError, match="v has other tokens than the baseline"):
        downstream(small(), [Variant("v", "e", 0, small(rows=(3, 2)))])


def test_first_tokens_alone_are_refused():
    lonely = small(rows=(1, 1))
    with pytest.raises(ValueError, match="--first-token include"):
        downstream(lonely, [Variant("v", "e", 0, lonely)])
    groups = select_groups(lonely, first_token="include", every=True)
    assert downstream(lonely, [Variant("v", "e", 0, lonely)], groups)["delta"].size


@pytest.mark.usefixtures("forbid_compute")
def test_builds_without_computing():
    clean, edited = small(), small(1)
    assert downstream(clean, [Variant("v", "e", 0, edited)])["delta"].chunks is not None
    assert redundancy(clean, {1: edited})["nll_change"].chunks is not None


def test_groups_are_measured_by_their_tokens():
    clean, edited = small(), small(1)
    chosen = {"later tokens": np.array([1, 2, 4]), "one": np.array([1, 2]), "two": np.array([4, 2])}
    sentence = clean["sentence"].values
    origin = Origin(sentence, clean["position"].values, sentence)
    members = {name: Members(tokens, tokens, origin) for name, tokens in chosen.items()}
    groups = TokenGroups(members, contrasts=(("one", "two"),))
    drawn = resampling(groups.apart.clusters, resamples=20, seed=0)
    got = downstream(clean, [Variant("v", "e", 0, edited)], groups, drawn).compute()
    h, g = (each["resid"].values.astype(np.float64) for each in (clean, edited))
    losses = edited["nll"].values.astype(np.float64) - clean["nll"].values
    changes = {}
    for name in ("one", "two"):
        rows = chosen[name]
        share = np.linalg.norm((h - g)[:, rows], axis=(1, 2)) / np.linalg.norm(
            h[:, rows], axis=(1, 2)
        )
        at = got.sel(group=name, variant="v")
        np.testing.assert_allclose(at["group_relative_delta"], share, rtol=1e-12)
        changes[name] = np.nanmean(losses[rows])
        np.testing.assert_allclose(at["group_nll_change"], changes[name], rtol=1e-12)
    difference = got["group_nll_change_contrast"].sel(variant="v", contrast="one:two")
    np.testing.assert_allclose(difference, changes["one"] - changes["two"], rtol=1e-9)
    assert {"group_relative_delta_interval", "group_nll_change_interval"} <= set(got)

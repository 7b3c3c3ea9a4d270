"""Attention weights: against the oracle, their laws, their layout, and the attention they need."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from actlas.pipeline.models.sites import DEFAULT_SITES
from actlas.store.maintenance.verify import verify
from tests import oracle
from tests.extraction import extract_texts
from tests.small_model import SIZES, TEXTS


@pytest.fixture(scope="module")
def run(small_model, tmp_path_factory):
    store = tmp_path_factory.mktemp("pattern") / "store"
    return extract_texts(
        store, small_model, TEXTS, ("pattern", "z"), attention="eager", unit_tokens=60
    )[0]


@pytest.fixture(scope="module")
def pattern(run):
    return run.dataset(["pattern"], check=True)["pattern"]


def test_weights_are_the_oracles(run, pattern, small_model):
    weights = load_file(small_model / "model.safetensors")
    assert len(run.units) > 1
    ends = np.cumsum(run.labels.row_size)
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        wanted = oracle.activations(
            weights, run.labels.token["token_id"][start:end], SIZES["n_head"]
        )["pattern"]
        got = pattern.values[:, start:end, :, : end - start]
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)


def test_rows_sum_to_one_and_weights_of_no_key_are_exactly_zero(run, pattern):
    assert pattern.dims == ("layer", "token", "head", "key")
    assert pattern.sizes["key"] == run.labels.row_size.max()
    values = pattern.values
    np.testing.assert_allclose(values.sum(-1), 1, rtol=1e-6)
    position = run.labels.token["position"]
    assert (values >= 0).all()
    for token, place in enumerate(position):
        assert not values[:, token, :, place + 1 :].any()
    assert (values[:, position == 0, :, 0] == 1).all()


def test_weights_and_values_give_z(small_model, tmp_path):
    run, _ = extract_texts(
        tmp_path / "store", small_model, TEXTS[2:3], ("pattern", "v", "z"), attention="eager"
    )
    dataset = run.dataset()
    z = np.einsum("lthk,lkhd->lthd", dataset["pattern"].values, dataset["v"].values)
    np.testing.assert_allclose(z, dataset["z"].values, rtol=1e-4, atol=1e-5)


def test_added_later_it_keeps_the_runs_longest_sentence(small_model, tmp_path):
    options = {"attention": "eager", "unit_tokens": 60, "stored_dtype": "float16"}
    extract_texts(tmp_path / "store", small_model, TEXTS, ("resid",), **options)
    run, _ = extract_texts(tmp_path / "store", small_model, TEXTS, ("pattern",), **options)
    assert run.sites == ("pattern", "resid")
    assert not any(item.problems for item in verify(run))
    sums = run.dataset(["pattern"])["pattern"].values.sum(-1)
    np.testing.assert_allclose(sums, 1, rtol=2e-3)


def test_it_is_not_asked_for_by_default():
    assert "pattern" not in DEFAULT_SITES


def test_sdpa_has_the_weights_that_it_takes_means_with(small_model, tmp_path, pattern):
    """Beside sdpa they are computed from the queries and keys that it is given."""
    sites = ("pattern", "v", "z", "resid")
    run, _ = extract_texts(tmp_path / "store", small_model, TEXTS, sites, attention="sdpa")
    found = run.dataset(check=True)
    np.testing.assert_allclose(found["pattern"].values, pattern.values, rtol=1e-4, atol=1e-6)
    plain, _ = extract_texts(tmp_path / "plain", small_model, TEXTS, sites[1:], attention="sdpa")
    for site in sites[1:]:  # what sdpa computes is the same with the weights beside it
        np.testing.assert_array_equal(found[site].values, plain.dataset()[site].values)

"""Every site, from padded batches, against a plain NumPy GPT-2 that runs each sentence alone."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests import oracle
from tests.extraction import ALL_SITES, extract_texts
from tests.small_model import SIZES, TEXTS

TOLERANCE = 1e-5  # relative, float32


@pytest.fixture(scope="module")
def run(small_model, tmp_path_factory):
    return extract_texts(
        tmp_path_factory.mktemp("oracle") / "store", small_model, TEXTS, unit_tokens=120
    )[0]


@pytest.fixture(scope="module")
def expected(small_model, run):
    """Every site of the whole run by the oracle, sentences joined along token."""
    weights = load_file(small_model / "model.safetensors")
    ids = np.split(run.labels.token["token_id"], np.cumsum(run.labels.row_size)[:-1])
    sentences = [oracle.activations(weights, sentence, SIZES["n_head"]) for sentence in ids]
    return {
        site: np.concatenate([s[site] for s in sentences], axis=_token_axis(run, site))
        for site in ALL_SITES
    }


def _token_axis(run, site):
    return run.dataset([site])[site].dims.index("token")


def test_extraction_was_padded_and_in_several_units(run):
    assert len(run.units) > 1
    assert len(set(run.labels.row_size[: run.units[0].sentences])) > 1


@pytest.mark.parametrize("site", ALL_SITES)
def test_site_equals_oracle(run, expected, site):
    got = run.dataset([site], check=True)[site].values.astype(np.float64)
    wanted = expected[site]
    assert got.shape == wanted.shape
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
    blocks = (
        zip(got, wanted, strict=True)
        if run.dataset([site])[site].dims[0] in ("layer", "depth")
        else [(got, wanted)]
    )
    for one, other in blocks:
        assert np.nanmax(np.abs(one - other)) <= TOLERANCE * np.nanmax(np.abs(other))


def test_loss_is_missing_at_first_positions_only(run):
    loss = run.dataset(["nll"])["nll"]
    np.testing.assert_array_equal(np.isnan(loss.values), loss["position"].values == 0)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_implementations_agree(tmp_path, small_model, expected, attention):
    run, _ = extract_texts(tmp_path / "store", small_model, TEXTS, ("z",), attention=attention)
    got = run.dataset(["z"])["z"].values
    assert np.abs(got - expected["z"]).max() <= TOLERANCE * np.abs(expected["z"]).max()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 2e-3), ("bfloat16", 2e-2)])
def test_narrow_storage_keeps_its_precision(tmp_path, small_model, expected, dtype, tolerance):
    run, _ = extract_texts(
        tmp_path / "store", small_model, TEXTS, ("resid", "nll"), stored_dtype=dtype
    )
    got = run.dataset(["resid", "nll"])
    assert got["resid"].dtype == np.float32
    np.testing.assert_allclose(got["resid"], expected["resid"], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(got["nll"], expected["nll"], rtol=1e-4)


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.1)])
def test_narrow_computation(tmp_path, small_model, expected, dtype, tolerance):
    run, _ = extract_texts(tmp_path / "store", small_model, TEXTS, ("q", "nll"), dtype=dtype)
    got, wanted = run.dataset(["q"])["q"].values, expected["q"]
    assert np.linalg.norm(got - wanted) <= tolerance * np.linalg.norm(wanted)
    assert run.commits[0].sites["q"].layout.dtype == dtype
    assert run.commits[0].sites["nll"].layout.dtype == "float32"

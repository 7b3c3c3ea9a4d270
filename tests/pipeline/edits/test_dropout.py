"""Train mode: made again it is the same to the bit, another seed is another run.

Eval mode is left as it was.
"""

import numpy as np
import pytest
import torch

from actlas.analysis.reconstruction.compute import Precision, broken, reconstruction
from actlas.store import Store, UsageError
from tests.extraction import extract_texts, plan_for
from tests.small_model import TEXTS, save_model

SITES = ("resid", "attn_out", "mlp_out", "nll")


def values(run, site="resid"):
    return run.dataset([site])[site].values


def test_a_seed_gives_the_same_numbers_however_units_are_cut(tmp_path, small_model):
    once, _ = extract_texts(tmp_path / "once", small_model, TEXTS, SITES, dropout_seed=3)
    again, _ = extract_texts(
        tmp_path / "again", small_model, TEXTS, SITES, dropout_seed=3, unit_tokens=50
    )
    assert once.id == again.id
    assert len(again.units) > len(once.units)
    for site in SITES:
        np.testing.assert_array_equal(values(once, site), values(again, site))


def test_a_site_added_later_is_of_the_same_draw(tmp_path, small_model):
    whole, _ = extract_texts(tmp_path / "whole", small_model, TEXTS, ("resid", "z"), dropout_seed=3)
    extract_texts(tmp_path / "parts", small_model, TEXTS, ("resid",), dropout_seed=3)
    parts, _ = extract_texts(tmp_path / "parts", small_model, TEXTS, ("z",), dropout_seed=3)
    np.testing.assert_array_equal(values(whole, "z"), values(parts, "z"))


def test_seeds_and_eval_are_different_runs_with_different_numbers(tmp_path, small_model):
    runs = [
        extract_texts(tmp_path / "store", small_model, TEXTS, ("resid",), dropout_seed=seed)[0]
        for seed in (None, 0, 1)
    ]
    assert len({run.id for run in runs}) == 3
    assert [run.specification["numerics"]["mode"] for run in runs] == ["eval", "train", "train"]
    assert [run.specification["numerics"]["seed"] for run in runs] == [None, 0, 1]
    plain, one, other = map(values, runs)
    assert (one[0] == 0).mean() > 0.05  # a tenth of the embeddings is dropped
    assert not (plain[0] == 0).any()
    assert np.linalg.norm(one - other) > 0.1 * np.linalg.norm(one)
    evaluated, _ = extract_texts(tmp_path / "eval", small_model, TEXTS, ("resid",))
    np.testing.assert_array_equal(values(evaluated), plain)


def test_the_sum_does_not_hold_because_dropout_lies_in_between(tmp_path, small_model):
    run, _ = extract_texts(tmp_path / "store", small_model, TEXTS, SITES, dropout_seed=0)
    got = reconstruction(run.dataset(), Precision()).compute()
    assert {layer for _, layer in broken(got)} == {0, 1, 2}


def test_the_callers_random_numbers_go_on_as_before(tmp_path, small_model):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    extract_texts(tmp_path / "store", small_model, TEXTS[:1], ("resid",), dropout_seed=0)
    assert torch.equal(torch.rand(3), wanted)


def test_a_model_without_dropout_has_no_train_mode(tmp_path):
    model = save_model(tmp_path / "model", attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)
    with pytest.raises(
        UsageError,
        match=r"has dropout rates of 0 in config\.json: --train-mode would change nothing",
    ):
        plan_for(tmp_path / "store", model, TEXTS, ("resid",), dropout_seed=0)
    assert not Store(tmp_path / "store").runs()
    with pytest.raises(UsageError, match="--seed is -1"):
        plan_for(tmp_path / "store", model, TEXTS, ("resid",), dropout_seed=-1)

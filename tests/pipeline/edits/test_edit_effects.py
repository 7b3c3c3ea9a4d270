"""What an edit does to the activations, and what is refused while it runs."""

import re

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from actlas.pipeline.edits.apply import Batch, Intervention, generator
from actlas.pipeline.edits.spec import parse_edit
from actlas.pipeline.models.folder import load, resolve
from actlas.store import Store, StoreError
from tests.extraction import extract_texts, extract_variant
from tests.pipeline.edits.edited_runs import NOISE
from tests.small_model import SIZES, TEXTS


def test_a_skipped_block_moves_nothing(variant):
    resid = variant("skip").dataset(["resid"])["resid"].values
    assert np.linalg.norm(resid[2] - resid[1]) == 0.0
    assert np.linalg.norm(resid[3] - resid[2]) > 0
    assert np.linalg.norm(resid[1] - resid[0]) > 0


def test_the_proof_counts_what_changed(variant, baseline):
    resid = baseline.dataset(["resid"])["resid"].values
    unit = baseline.units[0]
    (record,) = variant("skip").commits[0].edits
    change = np.abs(resid[1] - resid[2])[: unit.tokens]
    assert (record["values"], record["changed"]) == (change.size, np.count_nonzero(change))
    assert record["max_change"] == pytest.approx(change.max())


def test_zero_keys_attend_uniformly_over_the_past(small_model):
    """On the attention weights of the model itself, with the package's own hooks."""
    from actlas.pipeline.extraction.hooks import edited

    folder = resolve(str(small_model))
    model = load(folder, dtype=torch.float32, device=torch.device("cpu"), attention="eager")
    token_ids = torch.arange(1, 12)[None]
    edit, architecture = parse_edit("zero:site=k,layer=1,head=2"), folder.architecture
    intervention = Intervention(edit, architecture)
    intervention.begin_batch(Batch(token_ids.numpy(), (11,)))
    weights = []
    handle = model.transformer.h[1].attn.register_forward_hook(
        lambda _module, _given, output: weights.append(output[1])
    )
    with torch.inference_mode(), edited(model, [intervention]):
        model(token_ids, use_cache=False)
    handle.remove()
    pattern = weights[0][0].numpy()  # (head, query, key)
    uniform = np.tril(np.ones((11, 11))) / np.arange(1, 12)[:, None]
    np.testing.assert_allclose(pattern[2], uniform, atol=1e-6)
    assert np.abs(pattern[1] - uniform).max() > 0.01


def test_zero_z_removes_the_heads_term_from_attn_out(small_model, variant, baseline):
    weights = load_file(small_model / "model.safetensors")
    projection = weights["transformer.h.1.attn.c_proj.weight"]  # (input, output)
    d_head = SIZES["n_embd"] // SIZES["n_head"]
    clean, zeroed = (
        baseline.dataset(["z", "attn_out"]),
        variant("zero head of z").dataset(["attn_out"]),
    )
    term = clean["z"][1, :, 2].values @ projection[2 * d_head : 3 * d_head]
    np.testing.assert_allclose(
        clean["attn_out"][1].values - zeroed["attn_out"][1].values, term, atol=1e-5
    )


@pytest.mark.slow
def test_noise_is_the_same_alone_and_in_a_batch(tmp_path, small_model, store, baseline):
    together = extract_variant(store, small_model, TEXTS, [NOISE], unit_tokens=1000).dataset(
        ["mlp_post"]
    )["mlp_post"]
    for number, text in enumerate(TEXTS):
        alone = extract_variant(tmp_path / str(number), small_model, [text], [NOISE]).dataset(
            ["mlp_post"]
        )["mlp_post"]
        of_sentence = together[:, together["sentence"].values == number]
        np.testing.assert_array_equal(of_sentence[1, :, ::2], alone[1, :, ::2])
        np.testing.assert_allclose(of_sentence[1, :, 1::2], alone[1, :, 1::2], rtol=1e-4, atol=1e-5)


def test_noise_differs_by_seed_target_and_sentence():
    def draw(text, ids):
        return generator(parse_edit(text), ids).standard_normal(50)

    base = "noise:site=z,layer={},head={},dims={},seed={}"
    one = draw(base.format(1, 0, "::2", 0), [5, 6, 7])
    np.testing.assert_array_equal(one, draw(base.format(1, 0, "::2", 0), [5, 6, 7]))
    targets = [(2, 0, "::2", 0), (1, 1, "::2", 0), (1, 0, "1::2", 0), (1, 0, "::2", 1)]
    others = [draw(base.format(*target), [5, 6, 7]) for target in targets] + [
        draw(base.format(1, 0, "::2", 0), [56, 7])
    ]
    assert all(np.abs(np.corrcoef(one, other)[0, 1]) < 0.5 for other in others)


def test_noise_has_the_mean_and_std_that_were_asked_for(variant):
    noisy = variant("noise").dataset(["mlp_post"])["mlp_post"][1, :, ::2].values
    assert abs(noisy.mean() - 3) < 5 / np.sqrt(noisy.size)
    assert abs(noisy.std() - 1) < 5 / np.sqrt(noisy.size)


def test_an_edit_that_does_not_fire_is_an_error_and_stores_nothing(
    tmp_path, small_model, monkeypatch
):
    from contextlib import nullcontext

    from actlas.pipeline.extraction import variant_pass as module

    extract_texts(tmp_path / "store", small_model, TEXTS, ("resid",))
    monkeypatch.setattr(module, "edited", lambda *_: nullcontext())
    with pytest.raises(StoreError, match="zero:site=k,layer=1 was applied to 0 of 5 sentences"):
        extract_variant(tmp_path / "store", small_model, TEXTS, ["zero:site=k,layer=1"], ("resid",))
    variant = next(run for run in Store(tmp_path / "store").runs() if run.edits)
    assert variant.commits == ()
    assert not list((variant.folder / "shards").iterdir())


@pytest.mark.parametrize(
    "edit", ["scale:layer=1,factor=1e+39", "noise:layer=1,mean=0,std=1e+39,seed=0"]
)
def test_values_that_are_not_finite_are_refused(tmp_path, small_model, edit):
    with pytest.raises(StoreError, match=re.escape(f"{edit} makes values that are not finite")):
        extract_variant(tmp_path / "store", small_model, TEXTS, [edit], ("resid",))

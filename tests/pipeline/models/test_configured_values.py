"""Every field of config.json in the identity does what it says to the numbers, or is refused.

Run on the oldest and on the newest transformers: what one computes wrongly must not be stored.
"""

import importlib.metadata
import itertools
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from transformers.activations import ACT2FN

from actlas.pipeline.models.configuration import ACTIVATIONS
from actlas.pipeline.models.families.gpt.gpt2 import GPT2
from actlas.store import UsageError
from tests import oracle
from tests.extraction import extract_texts
from tests.small_model import SIZES, TEXTS, save_model

TOLERANCE = 3e-5  # relative, float32
SITES = ("resid", "z", "mlp_post", "final_norm", "nll")
# leaves the scales out under sdpa
BEFORE_5 = importlib.metadata.version("transformers").startswith("4.")
SCALES = ("scale_attn_weights", "scale_attn_by_inverse_layer_idx")
DEFAULTS = GPT2.config.defaults
CASES = {
    "activation_function": [{"activation_function": name} for name in ACTIVATIONS],
    "layer_norm_epsilon": [{"layer_norm_epsilon": value} for value in (0.5, 1e-12)],
    "reorder_and_upcast_attn": [{"reorder_and_upcast_attn": True}],
    **{
        name: [dict(zip((*SCALES, "reorder_and_upcast_attn"), values, strict=True))]
        for name, values in zip(
            (
                "scale_attn_weights",
                "scale_attn_by_inverse_layer_idx",
                "both scales",
                "both scales, reordered",
            ),
            ((False, False, False), (True, True, False), (False, True, False), (False, True, True)),
            strict=True,
        )
    },
    "tie_word_embeddings": [{"tie_word_embeddings": False}],
    "n_inner": [{"n_inner": None}, {"n_inner": 9}],
    "n_embd": [{"n_embd": 20}],
    "n_head": [{"n_head": 7}, {"n_head": 1}],
    "n_layer": [{"n_layer": 1}, {"n_layer": 4}],
    "n_positions": [{"n_positions": 123}],
    "vocab_size": [{"vocab_size": 400}],
}
DROPOUT = ("attn_pdrop", "embd_pdrop", "resid_pdrop")


def made(folder, **config):
    """A model whose MLPs reach where their functions differ."""
    model = save_model(
        folder, **{name: value for name, value in config.items() if name != "activation_function"}
    )
    saved = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**saved, **config}))
    weights = load_file(model / "model.safetensors")
    for name, value in weights.items():
        if name.endswith("c_fc.weight"):
            weights[name] = value * 4
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    return model, weights


def compare(run, weights, config, **options):
    ids = np.split(run.labels.token["token_id"], np.cumsum(run.labels.row_size)[:-1])
    heads = {**SIZES, **config}["n_head"]
    sentences = [
        oracle.activations(weights, sentence, heads, config, **options) for sentence in ids
    ]
    got = run.dataset(SITES, check=True)
    for site in SITES:
        wanted = np.concatenate([s[site] for s in sentences], axis=got[site].dims.index("token"))
        assert got[site].shape == wanted.shape
        assert np.nanmax(np.abs(got[site].values - wanted)) <= TOLERANCE * np.nanmax(
            np.abs(wanted)
        ), site


def test_every_field_of_the_identity_has_a_case():
    assert {*CASES, *DROPOUT} >= set(DEFAULTS)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("config", list(itertools.chain.from_iterable(CASES.values())), ids=str)
def test_a_field_does_what_it_says_or_is_refused(tmp_path, config, attention):
    model, weights = made(tmp_path / "model", **config)
    scaled = any(config.get(name, DEFAULTS[name]) != DEFAULTS[name] for name in SCALES)
    if BEFORE_5 and attention == "sdpa" and scaled:
        with pytest.raises(
            UsageError,
            match=r"sdpa attention of transformers 4\..* does not follow: use --attention eager",
        ):
            extract_texts(
                tmp_path / "store", model, TEXTS, SITES, device="cpu", attention=attention
            )
        return
    if config.get("activation_function", "relu") not in ACT2FN:
        with pytest.raises(UsageError, match="this transformers has no activation_function"):
            extract_texts(
                tmp_path / "store", model, TEXTS, SITES, device="cpu", attention=attention
            )
        return
    run, _ = extract_texts(
        tmp_path / "store", model, TEXTS, SITES, device="cpu", attention=attention
    )
    compare(run, weights, config)


def test_upcast_attention_in_half_precision_needs_eager(tmp_path):
    model, _ = made(tmp_path / "model", reorder_and_upcast_attn=True)
    options = {"dtype": "bfloat16", "device": "cpu"}
    with pytest.raises(
        UsageError,
        match="reorder_and_upcast_attn is true, which sdpa attention leaves out: use --att",
    ):
        extract_texts(tmp_path / "store", model, TEXTS, ("resid",), **options)
    extract_texts(tmp_path / "store", model, TEXTS, ("resid",), attention="eager", **options)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("field", DROPOUT)
def test_dropout_drops_at_its_rate_and_place_and_scales_the_rest(tmp_path, field, attention):
    """What was dropped is read off the stored sites.

    With that the oracle must give all other numbers.
    """
    rate = 0.4
    config = {**dict.fromkeys(DROPOUT, 0.0), field: rate}
    model, weights = made(tmp_path / "model", **config)
    sites = (*SITES, "resid_mid", "attn_out", "mlp_out")
    texts = ["We saw her.", *(["her her her"] * 20 if field == "attn_pdrop" else TEXTS)]
    run, _ = extract_texts(
        tmp_path / "store", model, texts, sites, device="cpu", attention=attention, dropout_seed=1
    )
    kept = []
    ids = np.split(run.labels.token["token_id"], np.cumsum(run.labels.row_size)[:-1])
    for sentence, token_ids in enumerate(ids):
        stored = (
            run.dataset(sites)
            .load()
            .isel(token=np.flatnonzero(run.labels.token["sentence"] == sentence))
        )
        drop = Dropped(stored, field, rate, kept)
        wanted = oracle.activations(weights, token_ids, SIZES["n_head"], config, drop=drop)
        for site in SITES:
            got = stored[site].values
            assert np.nanmax(np.abs(got - wanted[site])) <= 10 * TOLERANCE * np.nanmax(
                np.abs(wanted[site])
            ), site
    kept = np.concatenate([mask.ravel() for mask in kept])
    assert len(kept) > 500
    assert abs(kept.mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / len(kept))


class Dropped:
    """The oracle's dropout: what stored sites of one sentence show to have been dropped."""

    def __init__(self, stored, field, rate, kept):
        self.stored, self.field, self.rate, self.kept = stored, field, rate, kept

    def __call__(self, place, layer, value, v=None):
        if self.field != {"embd": "embd_pdrop", "pattern": "attn_pdrop"}.get(place, "resid_pdrop"):
            return value
        mask = (
            self.of_pattern(layer, value, v)
            if place == "pattern"
            else self.of_stream(place, layer, value)
        )
        return value * mask / (1 - self.rate)

    def of_stream(self, place, layer, value):
        """The stream changed by nothing where a value was dropped."""
        resid, mid = self.stored["resid"].values, self.stored["resid_mid"].values
        added = {
            "embd": lambda: resid[0],
            "attn_out": lambda: mid[layer] - resid[layer],
            "mlp_out": lambda: resid[layer + 1] - mid[layer],
        }[place]()
        mask = np.abs(added) > np.abs(value) / 2
        self.kept.append(mask)
        return mask

    def of_pattern(self, layer, pattern, v):
        """The weights whose sum over v gives the stored z.

        Found among all choices, (head, query, key).
        """
        z, mask = self.stored["z"].values[layer], np.zeros(pattern.shape)
        for query in range(len(z)):
            choices = np.array(list(itertools.product((0, 1), repeat=query + 1)))
            for head in range(len(pattern)):
                weights = choices * pattern[head, query, : query + 1] / (1 - self.rate)
                mixed = weights @ v[: query + 1, head]  # (choice, d_head)
                best = np.abs(mixed - z[query, head]).max(-1).argmin()
                mask[head, query, : query + 1] = choices[best]
                self.kept.append(choices[best][pattern[head, query, : query + 1] > 1e-3])
        return mask

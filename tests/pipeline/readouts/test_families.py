"""Readouts of every family against the oracle: logits, and what heads write."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from actlas.analysis.lens.logits import logits, normed
from actlas.pipeline.models.files.output import head_outputs
from actlas.pipeline.models.folder import resolve
from actlas.store.errors import UsageError
from tests.families.tiny import TINY, save_tiny
from tests.oracle import ACTIVATIONS, layer_norm
from tests.tiny_runs.readouts import by_hand, heads_of, readout_of

FEW = (
    *("gpt_neox", "gptj", "gpt_neo", "phi", "llama", "llama-biases", "qwen3", "phi3", "olmo2"),
    *("gemma2", "gemma3"),
)
REFUSED = "phi3-longrope"
HEADLESS = "bert-model"
SLOW = [name for name in TINY if name not in (*FEW, REFUSED, "bert", "bert-pretraining", "roberta")]
NAMES = [*FEW, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW if name != HEADLESS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = {}

    def of(name):
        if name not in made:
            made[name] = save_tiny(tmp_path_factory.mktemp(name) / "model", name)
        return made[name]

    return of


@pytest.mark.parametrize("name", NAMES)
def test_logits_and_heads(folder, tmp_path, name):
    found, _ = by_hand(folder(name))
    readout = readout_of(tmp_path, folder(name))
    rows = found["resid"][-1].astype(np.float32)
    close(normed(readout, rows), found["final_norm"])
    close(logits(readout, rows), found["logits"])
    assert readout.words[7] == "t7"
    if not name.startswith(("gemma2", "gemma3", "olmo2")):
        heads = heads_of(tmp_path, folder(name))
        for layer, z in enumerate(found["z"]):
            written = np.einsum("thd,hdm->tm", z, heads.w_o(layer))
            bias = heads.b_o(layer)
            close(written if bias is None else written + bias, found["attn_out"][layer])


@pytest.mark.parametrize("name", ["bert", "bert-pretraining", "roberta"])
def test_heads_of_masked_tokens(folder, tmp_path, name):
    path = folder(name)
    found, _ = by_hand(path)
    readout = readout_of(tmp_path, path)
    w = {
        key: value.astype(np.float64)
        for key, value in load_file(path / "model.safetensors").items()
    }
    config = json.loads((path / "config.json").read_text())
    head = "lm_head" if name == "roberta" else "cls.predictions"
    dense, norm = (
        ("dense", "layer_norm") if name == "roberta" else ("transform.dense", "transform.LayerNorm")
    )
    x = found["resid"][-1] @ w[f"{head}.{dense}.weight"].T + w[f"{head}.{dense}.bias"]
    x = ACTIVATIONS["gelu" if name == "roberta" else config["hidden_act"]](x)
    ends = ("gamma", "beta") if name == "bert-pretraining" else ("weight", "bias")
    x = layer_norm(x, *(w[f"{head}.{norm}.{end}"] for end in ends), config["layer_norm_eps"])
    table = next(value for key, value in w.items() if key.endswith("word_embeddings.weight"))
    assert readout.masked
    close(logits(readout, found["resid"][-1].astype(np.float32)), x @ table.T + w[f"{head}.bias"])


def test_what_has_no_readout_says_why(folder, tmp_path):
    with pytest.raises(UsageError, match="has no head that gives logits"):
        readout_of(tmp_path, folder(HEADLESS))
    with pytest.raises(UsageError, match="no sum over its heads: a norm follows them"):
        head_outputs(resolve(str(folder("gemma2"))).architecture)


def test_half_precision_is_kept_and_bad_numbers_are_refused(folder, tmp_path):
    import torch
    from safetensors.torch import save_file as save_torch

    weights = load_file(folder("llama") / "model.safetensors")
    path = tmp_path / "half"
    path.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (path / name).write_text((folder("llama") / name).read_text())
    half = {key: torch.from_numpy(value).bfloat16() for key, value in weights.items()}
    save_torch(half, path / "model.safetensors", {"format": "pt"})
    readout = readout_of(tmp_path, path)
    assert readout.record.arrays["unembed"].dtype == "bfloat16"
    np.testing.assert_array_equal(readout.unembed, half["lm_head.weight"].float().numpy())
    weights["lm_head.weight"][3, 4] = np.nan
    save_file(weights, path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UsageError, match="holds values that are NaN or infinite"):
        readout_of(tmp_path / "other", path)
    assert not list((tmp_path / "other").rglob("*.h5"))


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max())

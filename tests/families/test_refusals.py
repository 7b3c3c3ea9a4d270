"""Models and places that cannot be read: a line that says what would do."""

import json
import warnings

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from actlas.pipeline.edits.grid import expand
from actlas.pipeline.models.folder import load, resolve
from actlas.store import UsageError
from tests.families.configs import TINY
from tests.families.tiny import save_tiny
from tests.families.tried import made_once

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    return made_once(tmp_path_factory)


def of_type(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    return resolve(str(tmp_path))


def test_quantised_weights_are_refused_in_every_family(tmp_path):
    for name, config in TINY.items():
        if "-" in name:
            continue
        model = of_type(tmp_path, {**config, "quantization_config": {"bits": 4}})
        with pytest.raises(UsageError, match="quantization_config is not supported"):
            _ = model.effective


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "qwen3_moe"}, r"type 'qwen3_moe', expected .* \(nearest: qwen3"),
        ({"model_type": "olmo3"}, r"\(nearest: olmo2\)"),
        ({"model_type": "gemma4_text"}, r"\(nearest: gemma3_text"),
        ({"model_type": "own", "auto_map": {"AutoModel": "own.Own"}}, "code of its own, which is"),
        ({"model_type": "x" * 100_000}, "expected one of gpt2"),
    ],
)
def test_another_type_gets_the_nearest(tmp_path, config, message):
    with pytest.raises(UsageError, match=message) as caught:
        of_type(tmp_path, config)
    assert len(str(caught.value)) < 600 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"qk_layernorm": True}, "qk_layernorm is True, expected false, as every published Phi"),
        ({"tie_word_embeddings": True}, "expected false for a head with bias"),
        ({"partial_rotary_factor": 1.5}, "rotary fraction is 1.5, expected 1 at most"),
    ],
)
def test_what_no_phi_has(tmp_path, fields, message):
    with pytest.raises(UsageError, match=message):
        _ = of_type(tmp_path, {**TINY["phi"], **fields}).effective


def test_an_adapter_without_a_configuration(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UsageError, match="is an adapter: merge it into its model"):
        resolve(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("skip:layer=3", "edit of layer 3: the model has layers 0 to 2"),
        ("zero:site=q,layer=3,head=0", "edit of layer 3: the model has layers 0 to 2"),
        ("zero:site=q,layer=0,head=15", "head=15: the model has heads 0 to 14"),
        ("zero:site=k,layer=0,head=5", "head=5: k has heads 0 to 4"),
        ("zero:site=mlp_up,layer=0,neurons=31", "neurons=31: mlp_up has neurons 0 to 30"),
        ("zero:site=q_rot,layer=0", "cannot edit q_rot"),
        ("zero:site=q_normed,layer=0", "llama has no site q_normed: its queries have no norm"),
    ],
)
def test_a_place_that_a_model_lacks(tried, text, message):
    with pytest.raises(UsageError, match=message):
        expand([text], tried("llama").architecture)


def test_weights_that_are_no_numbers(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = save_tiny(tmp_path, "gemma2")
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 4] = np.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UsageError, match=r"mlp.up_proj.weight holds 1 values that are NaN"):
        load(
            resolve(str(folder)), dtype=torch.float32, device=torch.device("cpu"), attention="eager"
        )


def test_an_attention_that_a_family_does_not_have(tried):
    for name in ("gptj", "gpt_neo"):
        with pytest.raises(UsageError, match=f"{name} is wrong with sdpa attention here"):
            tried(name).plan(attention="sdpa")

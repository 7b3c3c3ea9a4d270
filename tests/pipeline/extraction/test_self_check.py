"""The check of a loaded model: what is not laid out as its family says is refused."""

import warnings
from dataclasses import replace

import pytest
import torch
from transformers.models.llama.modeling_llama import (
    LlamaAttention,
    LlamaForCausalLM,
    LlamaMLP,
)

from actlas.pipeline.extraction.self_check import check_layout
from actlas.pipeline.models.architecture import Architecture
from actlas.pipeline.models.folder import load, resolve
from actlas.store import UsageError
from tests.families.tiny import save_tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return resolve(str(save_tiny(tmp_path_factory.mktemp("tiny"), "llama")))


@pytest.fixture
def model(folder):
    return load(folder, dtype=torch.float32, device=torch.device("cpu"), attention="sdpa")


class AddsInPlace(LlamaAttention):
    """As Falcon does: what attention adds becomes a sum after its hook."""

    def forward(self, hidden_states, *args, **more):
        out, weights = super().forward(hidden_states, *args, **more)
        out += hidden_states
        return out, weights


class ClampsInPlace(LlamaAttention):
    """As OLMoE does: three tokens of usual size show nothing of it."""

    def forward(self, *args, **more):
        out, weights = super().forward(*args, **more)
        return out.clamp_(-1e9, 1e9), weights


class RunsTwice(LlamaMLP):
    def forward(self, x):
        return super().forward(x) + self.down_proj(self.act_fn(self.gate_proj(x)))


class Passes(LlamaMLP):
    def forward(self, x):
        return x


class Adds(LlamaMLP):
    """Something behind the last linear map that the family does not know."""

    def forward(self, x):
        return super().forward(x) + 1


def refusal(model, architecture, attention="sdpa"):
    with pytest.raises(UsageError) as caught:
        check_layout(model, architecture, attention)
    message = str(caught.value)
    assert "\n" not in message
    assert "computes llama otherwise than this actlas expects: " in message
    return message


@pytest.mark.parametrize("kind", [AddsInPlace, ClampsInPlace])
def test_what_is_changed_in_place_afterwards(folder, model, kind):
    model.model.layers[1].self_attn.__class__ = kind
    message = refusal(model, folder.architecture)
    assert "attn_out at model.layers.1.self_attn.o_proj is changed in place after" in message


def test_what_is_changed_in_place_is_right_where_the_row_says_copy(folder, model):
    model.model.layers[1].self_attn.__class__ = ClampsInPlace
    family = folder.architecture.family
    rows = {**family.rows, "attn_out": replace(family.rows["attn_out"], copy=True)}
    check_layout(
        model, Architecture(replace(family, rows=rows), folder.architecture.geometry), "sdpa"
    )


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (RunsTwice, "layers.2.mlp.gate_proj ran twice"),
        (Passes, r"layers.2.mlp.gate_proj did not run (4 places were missed)"),
        (Adds, "resid + attn_out + mlp_out in layer 2 does not hold (off by 1"),
    ],
)
def test_a_block_that_computes_otherwise(folder, model, kind, message):
    model.model.layers[2].mlp.__class__ = kind
    assert message in refusal(model, folder.architecture)


def test_a_width_that_is_another(folder, model):
    family = folder.architecture.family
    row = replace(family.rows["mlp_up"], module="{block}.mlp.down_proj")
    other = replace(family, rows={**family.rows, "mlp_up": row})
    message = refusal(model, Architecture(other, folder.architecture.geometry))
    assert "mlp_up at model.layers.0.mlp.down_proj has shape (1, 3, 45), expected (1, 3, 31)" in (
        message
    )


class ScalesLogits(LlamaForCausalLM):
    def forward(self, *args, **more):
        output = super().forward(*args, **more)
        output.logits = 2 * output.logits
        return output


def test_logits_that_are_not_the_heads(folder, model):
    model.__class__ = ScalesLogits
    message = refusal(model, folder.architecture)
    assert "head(final_norm) = logits does not hold" in message


def test_a_model_that_is_as_the_family_says_is_left_as_it_was(folder, model):
    model.train()
    check_layout(model, folder.architecture, "sdpa")
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert model.config._attn_implementation == "sdpa"

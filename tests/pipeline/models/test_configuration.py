"""What config.json says is read as transformers reads it.

One form for equal models, one clear line for impossible ones.
"""

import pytest

from actlas.pipeline.models.configuration import config_digest
from actlas.pipeline.models.configuration import effective as effective_by
from actlas.pipeline.models.families.gpt.gpt2 import GPT2
from actlas.store.errors import UsageError

RULES = GPT2.config


def effective(config, where):
    return effective_by(config, RULES, where)


def test_the_defaults_are_those_of_transformers():
    from transformers import GPT2Config

    config = GPT2Config()
    assert {name: getattr(config, name) for name in RULES.defaults} == dict(RULES.defaults)
    assert config.attribute_map == dict(RULES.aliases)


def test_other_names_and_a_written_out_default_are_the_same_model():
    plain = {"n_embd": 12, "n_head": 3, "n_layer": 2, "n_positions": 9}
    other = {
        "hidden_size": 12,
        "num_attention_heads": 3,
        "num_hidden_layers": 2,
        "max_position_embeddings": 9,
        "n_inner": 48,
    }
    assert effective(plain, "it") == effective(other, "it") == effective({**plain, **other}, "it")
    assert GPT2.sizes(effective(other, "it")).sizes["d_head"] == 4
    assert (
        GPT2.sizes(effective(plain, "it")).d_mlp
        == 48
        != GPT2.sizes(effective({**plain, "n_inner": 7}, "it")).d_mlp
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"n_head": 0}, "it: n_head is 0, expected a whole number from 1 to"),
        ({"n_embd": "64"}, "n_embd is '64'"),
        ({"n_layer": None}, "n_layer is None"),
        ({"n_layer": True}, "n_layer is True"),
        ({"n_embd": 10**9, "n_head": 3, "n_layer": 10**12}, "n_layer is 1000000000000, expected"),
        ({"vocab_size": 1e30}, r"vocab_size is 1e\+30, expected a whole number"),
        (
            {"layer_norm_epsilon": "tiny"},
            "layer_norm_epsilon is 'tiny', expected a number from 0 to 1",
        ),
        ({"layer_norm_epsilon": -1e-5}, "expected a number from 0 to 1"),
        ({"layer_norm_epsilon": 1e400}, "layer_norm_epsilon is inf, expected a number"),
        ({"attn_pdrop": 2.0}, "attn_pdrop is 2.0, expected a number from 0 to 1"),
        ({"resid_pdrop": True}, "resid_pdrop is True, expected a number"),
        ({"embd_pdrop": 10**400}, "expected a number from 0 to 1"),
        ({"scale_attn_weights": 1}, "expected true or false"),
        ({"activation_function": ["relu"]}, "expected one of gelu, "),
        ({"activation_function": "\x1b[31mrelu"}, r"is '\\x1b\[31mrelu', expected one of"),
        ({"activation_function": "prelu"}, "expected one of"),
        ({"n_embd": 10, "n_head": 3}, "not a multiple of n_head 3"),
        (
            {"n_head": 12, "num_attention_heads": 6},
            "n_head is 12, but num_attention_heads, its other name, 6",
        ),
        ({"quantization_config": {"load_in_8bit": True}}, "quantization_config is not supported"),
        ({"pruned_heads": {"0": [1]}}, "pruned_heads is not supported"),
    ],
)
def test_impossible_fields_are_refused(config, message):
    with pytest.raises(UsageError, match=message):
        effective(config, "it")


def test_a_message_repeats_no_giant():
    for value in (10**4000, "x" * 10**6, ["x" * 10**6]):
        with pytest.raises(UsageError) as caught:
            effective({"n_layer": value}, "it")
        assert len(str(caught.value)) < 300


def test_numbers_that_compute_the_same_are_one_identity():
    given = {"attn_pdrop": 0, "resid_pdrop": -0.0, "embd_pdrop": 1, "layer_norm_epsilon": 0}
    written = {"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 1.0, "layer_norm_epsilon": 0.0}
    assert config_digest(effective(given, "it")) == config_digest(effective(written, "it"))

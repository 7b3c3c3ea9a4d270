"""What config.json says is read as transformers reads it: one form for equal models, one clear line for impossible ones."""

import pytest

from actlas.pipeline.configuration import ALIASES, CONFIG, effective, geometry
from actlas.store.errors import UsageError


def test_the_defaults_are_those_of_transformers():
    from transformers import GPT2Config

    config = GPT2Config()
    assert {name: getattr(config, name) for name in CONFIG} == dict(CONFIG)
    assert config.attribute_map == dict(ALIASES)


def test_other_names_and_a_written_out_default_are_the_same_model():
    plain = {"n_embd": 12, "n_head": 3, "n_layer": 2, "n_positions": 9}
    other = {"hidden_size": 12, "num_attention_heads": 3, "num_hidden_layers": 2, "max_position_embeddings": 9, "n_inner": 48}
    assert effective(plain, "it") == effective(other, "it") == effective({**plain, **other}, "it")
    assert geometry(effective(other, "it")).sizes["d_head"] == 4
    assert geometry(effective(plain, "it")).d_mlp == 48 != geometry(effective({**plain, "n_inner": 7}, "it")).d_mlp


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"n_head": 0}, "it: n_head is 0, wanted a whole number above 0"),
        ({"n_embd": "64"}, "n_embd is '64'"),
        ({"n_layer": None}, "n_layer is None"),
        ({"n_layer": True}, "n_layer is True"),
        ({"layer_norm_epsilon": "tiny"}, "wanted a number"),
        ({"scale_attn_weights": 1}, "wanted true or false"),
        ({"activation_function": ["relu"]}, "wanted a name"),
        ({"n_embd": 10, "n_head": 3}, "no multiple of n_head 3"),
        ({"n_head": 12, "num_attention_heads": 6}, "n_head is 12, but num_attention_heads, its other name, 6"),
        ({"quantization_config": {"load_in_8bit": True}}, "quantization_config is not supported"),
        ({"pruned_heads": {"0": [1]}}, "pruned_heads is not supported"),
    ],
)
def test_impossible_fields_are_refused(config, message):
    with pytest.raises(UsageError, match=message):
        effective(config, "it")

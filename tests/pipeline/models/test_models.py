"""Models: the digest is of the numbers, whatever the files are called.

What cannot be loaded safely is refused.
"""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from actlas.pipeline.models import folder as models
from actlas.pipeline.models.folder import load, resolve
from actlas.store.errors import UsageError


@pytest.fixture
def copy(small_model, tmp_path):
    return shutil.copytree(small_model, tmp_path / "copy")


def test_digest_does_not_depend_on_sharding_prefix_or_masks(small_model, copy):
    weights = load_file(copy / "model.safetensors")
    renamed = {name.removeprefix("transformer."): value for name, value in weights.items()}
    renamed["h.0.attn.bias"] = torch.ones(1, 1, 4, 4)
    renamed["lm_head.weight"] = renamed["wte.weight"].clone()
    halves = {
        "model-1.safetensors": sorted(renamed)[::2],
        "model-2.safetensors": sorted(renamed)[1::2],
    }
    (copy / "model.safetensors").unlink()
    for file, names in halves.items():
        save_file({name: renamed[name].contiguous() for name in names}, copy / file)
    index = {"weight_map": {name: file for file, names in halves.items() for name in names}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    assert resolve(str(copy)).weights_digest == resolve(str(small_model)).weights_digest


def test_digest_changes_with_one_weight_and_is_remembered_by_file(small_model, copy):
    before = resolve(str(copy)).weights_digest
    weights = load_file(copy / "model.safetensors")
    weights["transformer.ln_f.bias"][0] += 1e-3
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    assert resolve(str(copy)).weights_digest != before == resolve(str(small_model)).weights_digest


def test_config_digest_is_of_what_is_computed(small_model, copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(
        json.dumps({**config, "transformers_version": "9", "n_ctx": 5})
    )
    assert resolve(str(copy)).config_digest == resolve(str(small_model)).config_digest
    (copy / "config.json").write_text(json.dumps({**config, "layer_norm_epsilon": 1e-3}))
    assert resolve(str(copy)).config_digest != resolve(str(small_model)).config_digest


def test_only_pickled_weights_are_refused(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(UsageError, match=r"only pickled weights \(pytorch_model.bin\)"):
        _ = resolve(str(copy)).weights_digest


def test_cut_weights_are_refused(copy):
    content = (copy / "model.safetensors").read_bytes()
    for length in (0, 4, 100, len(content) - 1):
        (copy / "model.safetensors").write_bytes(content[:length])
        with pytest.raises(UsageError, match=r"safetensors|outside the file"):
            _ = resolve(str(copy)).weights_digest


def test_missing_tensor_is_an_error_not_a_random_one(copy):
    weights = load_file(copy / "model.safetensors")
    del weights["transformer.h.1.mlp.c_fc.weight"]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(UsageError, match="do not fit"):
        load(resolve(str(copy)), dtype=torch.float32, device=torch.device("cpu"), attention="sdpa")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "is not JSON"),
        (
            lambda folder: (folder / "config.json").write_text('{"model_type": "mamba"}'),
            "of type 'mamba'",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
    ],
)
def test_unusable_folder(copy, change, message):
    change(copy)
    with pytest.raises(UsageError, match=message):
        _ = resolve(str(copy)).weights_digest


def test_demo_is_shipped():
    assert resolve("demo").folder == models.DEMO_FOLDER
    assert resolve("demo").geometry.n_layer == 8


def loaded(folder, attention="sdpa"):
    return load(
        resolve(str(folder)), dtype=torch.float32, device=torch.device("cpu"), attention=attention
    )


def change_config(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_the_model_is_built_from_what_its_identity_is_made_of(copy):
    """Fields that the digest leaves out change nothing.

    Heads are found under transformers' other name too.
    """
    model = resolve(str(copy))
    change_config(
        copy,
        num_attention_heads=5,
        output_attentions=True,
        is_causal=False,
        transformers_weights="other.safetensors",
    )
    assert resolve(str(copy)).config_digest == model.config_digest
    built = loaded(copy, "eager")
    assert not built.config.output_attentions
    assert built.config._attn_implementation == "eager"
    config = json.loads((copy / "config.json").read_text())
    del config["n_head"]
    (copy / "config.json").write_text(json.dumps({**config, "num_attention_heads": 7}))
    assert loaded(copy).config.n_head == resolve(str(copy)).geometry.n_head == 7
    assert resolve(str(copy)).config_digest != model.config_digest


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_layer": 2}, "they have 3 blocks, the last h.2, expected 2 .n_layer."),
        ({"n_layer": 4}, "they have 3 blocks, the last h.2, expected 4"),
        ({"n_positions": 50}, r"wpe.weight has shape \[90, 35\], expected \[50, 35\]"),
        ({"tie_word_embeddings": False}, "lm_head.weight is missing"),
        (
            {"activation_function": "nonsense"},
            "activation_function is 'nonsense', expected one of gelu, ",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(copy, fields, message):
    change_config(copy, **fields)
    with pytest.raises(UsageError, match=message):
        loaded(copy)


def test_a_head_of_its_own_needs_a_configuration_that_says_so(copy):
    """transformers 4 would put the embedding in its place, transformers 5 would not.

    The same id, other losses.
    """
    weights = load_file(copy / "model.safetensors")
    save_file(
        {**weights, "lm_head.weight": weights["transformer.wte.weight"] * 2},
        copy / "model.safetensors",
    )
    with pytest.raises(UsageError, match="is not the embedding"):
        _ = resolve(str(copy)).weights_digest
    change_config(copy, tie_word_embeddings=False)
    assert resolve(str(copy)).weights_digest
    model = loaded(copy)
    torch.testing.assert_close(model.lm_head.weight, model.transformer.wte.weight * 2)


def test_the_digest_is_of_the_files_that_are_loaded(small_model, copy):
    """transformers takes model.safetensors before an index, and no file of another name."""
    shutil.copy(copy / "model.safetensors", copy / "extra.safetensors")
    (copy / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"x": "extra.safetensors"}})
    )
    assert resolve(str(copy)).weight_files == [copy / "model.safetensors"]
    assert resolve(str(copy)).weights_digest == resolve(str(small_model)).weights_digest
    (copy / "model.safetensors").unlink()
    assert resolve(str(copy)).weight_files == [copy / "extra.safetensors"]
    (copy / "model.safetensors.index.json").unlink()
    with pytest.raises(UsageError, match=r"expected model.safetensors .*, found extra.safetensors"):
        _ = resolve(str(copy)).weight_files


@pytest.mark.parametrize(
    "index", ["[]", "{", '{"weight_map": [1]}', '{"weight_map": {"x": "../model.safetensors"}}']
)
def test_an_index_of_other_places_is_refused(copy, index):
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors.index.json").write_text(index)
    with pytest.raises(UsageError, match=r"not an index of weights|not a file beside it"):
        _ = resolve(str(copy)).weight_files


def test_an_adapter_is_refused(copy):
    (copy / "adapter_config.json").write_text("{}")
    with pytest.raises(UsageError, match="merge it"):
        _ = resolve(str(copy)).weight_files


HEADERS = {
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n",
    "no header": bytes(16),
    "list": b"[]",
    "list of pairs": b'[["a", 1]]',
    "no object": b'{"a": 1}',
    "fraction": b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0.5, 1]}}',
    "one offset": b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}',
    "no dtype": b'{"a": {"shape": [1], "data_offsets": [0, 0]}}',
    "deep": b"[" * 200_000,
    "before the tensors": b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}',
}


@pytest.mark.parametrize("name", HEADERS)
def test_files_that_only_look_like_weights_are_refused(copy, name):
    length = b"" if name in ("pointer", "no header") else len(HEADERS[name]).to_bytes(8, "little")
    (copy / "model.safetensors").write_bytes(length + HEADERS[name])
    with pytest.raises(UsageError, match=r"no readable header|lies outside the file"):
        _ = resolve(str(copy)).weights_digest


def test_other_weights_under_the_old_time_of_change_are_noticed(copy):
    """As after unpacking an archive that gives every file the same time."""
    path = copy / "model.safetensors"
    os.utime(path, ns=(10**18, 10**18))
    before = resolve(str(copy)).weights_digest
    weights = load_file(path)
    weights["transformer.ln_f.bias"] = weights["transformer.ln_f.bias"] + 1
    save_file(weights, path, {"format": "pt"})
    os.utime(path, ns=(10**18, 10**18))
    assert resolve(str(copy)).weights_digest != before


@pytest.mark.parametrize("config", ["[1]", "3", '{"model_type": null}', "[" * 100_000])
def test_config_that_is_no_configuration(copy, config):
    (copy / "config.json").write_text(config)
    with pytest.raises(UsageError, match=r"of type None|is not JSON"):
        resolve(str(copy))

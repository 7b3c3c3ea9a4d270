"""Models: the digest is of the numbers, whatever the files are called; what cannot be loaded safely is refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from actlas.pipeline import models
from actlas.pipeline.models import load, resolve
from actlas.store.errors import UsageError


@pytest.fixture
def copy(small_model, tmp_path):
    return shutil.copytree(small_model, tmp_path / "copy")


def test_digest_does_not_depend_on_sharding_prefix_or_masks(small_model, copy):
    weights = load_file(copy / "model.safetensors")
    renamed = {name.removeprefix("transformer."): value for name, value in weights.items()}
    renamed["h.0.attn.bias"] = torch.ones(1, 1, 4, 4)
    renamed["lm_head.weight"] = renamed["wte.weight"].clone()
    halves = {"model-1.safetensors": sorted(renamed)[::2], "model-2.safetensors": sorted(renamed)[1::2]}
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
    (copy / "config.json").write_text(json.dumps({**config, "transformers_version": "9", "n_ctx": 5}))
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
        (lambda folder: (folder / "config.json").write_text('{"model_type": "llama"}'), "of type 'llama'"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
    ],
)
def test_unusable_folder(copy, change, message):
    change(copy)
    with pytest.raises(UsageError, match=message):
        _ = resolve(str(copy)).weights_digest


def test_hub_model_comes_from_the_local_cache(small_model, tmp_path, monkeypatch):
    """A real hub cache on disk, read by the hub's own library; the revision that was used is known."""
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--small"
    shutil.copytree(small_model, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    found = resolve("someone/small")
    assert found.revision == commit
    assert found.weights_digest == resolve(str(small_model)).weights_digest


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-such-model", "hub cannot be reached"),
        ("./nowhere", "is no folder"),
        ("a/b/c", "is no folder"),
        ("bad name", "neither a folder here nor a well-formed hub id"),
    ],
)
def test_unknown_model(tmp_path, monkeypatch, name, message):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match=message):
        resolve(name)


def test_demo_is_shipped():
    assert resolve("demo").folder == models.DEMO_FOLDER
    assert resolve("demo").geometry.n_layer == 8

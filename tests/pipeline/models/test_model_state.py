"""The model given is the model stored.

Its numbers, form and settings are looked at when an extraction begins.
"""

import gc
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2LMHeadModel

from actlas.pipeline.extraction.loop import extract_with, load_for
from actlas.pipeline.models import model_state
from actlas.store import Store, StoreError, UsageError
from tests.extraction import extract_texts, plan_for
from tests.small_model import TEXTS


def begun(tmp_path, model, **options):
    plan = plan_for(tmp_path / "store", model, TEXTS, ("resid", "nll"), device="cpu", **options)
    return plan, Store(tmp_path / "store").add(plan.specification, plan.description, plan.units)


def scaled(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.01)


def one_bit(model):
    with torch.no_grad():
        bits = model.transformer.h[2].mlp.c_fc.bias.data.view(torch.int16)
        bits[3] ^= 1


def own_class(model):
    class Louder(torch.nn.LayerNorm):
        def forward(self, value):
            return super().forward(value) * 2

    model.transformer.h[1].ln_1.__class__ = Louder


def untied(model):
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach() * 2)


CHANGES = {
    "scaled": (scaled, "changed after it was loaded"),
    "one bit": (one_bit, "changed after it was loaded"),
    "epsilon": (
        lambda model: setattr(model.transformer.h[0].ln_1, "eps", 0.1),
        "changed after it was loaded",
    ),
    "dropout": (
        lambda model: setattr(model.transformer.drop, "p", 0.9),
        "changed after it was loaded",
    ),
    "class": (own_class, "changed after it was loaded"),
    "untied": (untied, "changed after it was loaded"),
    "hook": (
        lambda model: model.transformer.h[0].register_forward_hook(lambda *_: None),
        r"hooks .* on transformer\.h\.0",
    ),
    "forward": (
        lambda model: setattr(model.transformer.ln_f, "forward", lambda value: value),
        r"hooks .* on transformer\.ln_f",
    ),
    "config": (lambda model: setattr(model.config, "layer_norm_epsilon", 0.5), "has configuration"),
    "attention": (
        lambda model: setattr(model.config, "_attn_implementation", "eager"),
        "has attention 'eager', expected 'sdpa'",
    ),
    "dtype": (lambda model: model.to(torch.bfloat16), "has dtype 'bfloat16', expected 'float"),
}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", CHANGES)
def test_a_model_that_was_changed_after_loading_is_refused(tmp_path, small_model, name, dtype):
    plan, run = begun(tmp_path, small_model, dtype=dtype)
    model = load_for(plan)
    change, message = CHANGES[name]
    change(model)
    with pytest.raises(UsageError, match=message):
        extract_with(model, plan, run)
    assert not list((run.folder / "shards").iterdir())
    extract_with(load_for(plan), plan, run)
    assert not run.missing(["resid"])


def test_a_model_of_other_weights_is_refused(tmp_path, small_model):
    other = shutil.copytree(small_model, tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    save_file(
        {**weights, "transformer.ln_f.bias": weights["transformer.ln_f.bias"] + 1},
        other / "model.safetensors",
    )
    plan, run = begun(tmp_path, small_model)
    model = load_for(begun(tmp_path, other)[0])
    with pytest.raises(UsageError, match="loaded from other weights"):
        extract_with(model, plan, run)


def test_a_model_made_by_the_user_is_judged_by_its_own_numbers(tmp_path, small_model):
    plan, run = begun(tmp_path, small_model)
    own = GPT2LMHeadModel.from_pretrained(small_model, attn_implementation="sdpa").eval()
    scaled(own)
    with pytest.raises(UsageError, match="does not hold the weights of the plan"):
        extract_with(own, plan, run)
    own = GPT2LMHeadModel.from_pretrained(small_model, attn_implementation="sdpa").eval()
    own.transformer.h[0].ln_2.eps = 0.1
    with pytest.raises(UsageError, match="not built as a GPT-2"):
        extract_with(own, plan, run)
    own = GPT2LMHeadModel.from_pretrained(small_model, attn_implementation="sdpa").eval()
    extract_with(own, plan, run)
    wanted, _ = extract_texts(tmp_path / "whole", small_model, TEXTS, ("resid",), device="cpu")
    np.testing.assert_array_equal(run.dataset(["resid"])["resid"], wanted.dataset()["resid"])


def test_narrow_files_are_the_model_in_a_wider_dtype(tmp_path, small_model):
    """The digest is of the files, which the object in memory no longer has as they were."""
    folder = shutil.copytree(small_model, tmp_path / "half")
    weights = {
        name: value.half() for name, value in load_file(folder / "model.safetensors").items()
    }
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    plan, run = begun(tmp_path, folder)
    model = load_for(plan)
    torch.testing.assert_close(
        model.transformer.wpe.weight, weights["transformer.wpe.weight"].float()
    )
    extract_with(model, plan, run)
    scaled(model)
    with pytest.raises(UsageError, match="changed after"):
        extract_with(model, plan, run)


def test_files_that_change_between_plan_and_load_are_refused(tmp_path, small_model):
    folder = shutil.copytree(small_model, tmp_path / "copy")
    plan, run = begun(tmp_path, folder)
    weights = load_file(folder / "model.safetensors")
    save_file(
        {**weights, "transformer.ln_f.bias": weights["transformer.ln_f.bias"] + 1},
        folder / "model.safetensors",
    )
    with pytest.raises(
        StoreError, match="changed since the extraction was planned: run the same command again"
    ):
        load_for(plan)
    assert run.commits == ()
    assert begun(tmp_path, folder)[1].id != run.id


def test_files_that_change_after_loading_change_nothing(tmp_path, small_model):
    """A mapped file would: what is written into it shows in the model."""
    folder = shutil.copytree(small_model, tmp_path / "copy")
    plan, run = begun(tmp_path, folder)
    model = load_for(plan)
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-4000, 2)
        file.write(bytes(4000))
    extract_with(model, plan, run)
    wanted, _ = extract_texts(tmp_path / "whole", small_model, TEXTS, ("resid",), device="cpu")
    np.testing.assert_array_equal(run.dataset(["resid"])["resid"], wanted.dataset()["resid"])


WORKERS = """
import sys
from pathlib import Path
from safetensors.torch import load_file, save_file
from actlas.pipeline.distributed.cluster import Cluster, ClusterError
from actlas.pipeline.distributed.dispatch import Workers
from actlas.pipeline.extraction.progress import Callbacks
from actlas.store import Store
from tests.extraction import plan_for
if __name__ == "__main__":
    store, file = Path(sys.argv[1]), Path(sys.argv[2]) / "model.safetensors"
    plan = plan_for(store, file.parent, ["We saw her."], ("resid",), device="cpu")
    run = Store(store).add(plan.specification, plan.description, plan.units)
    weights = load_file(file)
    save_file({**weights, "transformer.ln_f.bias": weights["transformer.ln_f.bias"] + 1}, file)
    with Workers(Cluster(workers=1), store) as workers:
        workers.prepare(plan)
        try:
            workers.extract([(plan, run)], Callbacks())
        except ClusterError as error:
            print(error, len(run.commits))
"""


@pytest.mark.slow
def test_a_worker_computes_with_no_other_weights_than_planned(tmp_path, small_model):
    folder = shutil.copytree(small_model, tmp_path / "copy")
    (tmp_path / "script.py").write_text(WORKERS)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "store"), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert re.search(r"holds other weights than the same folder here.* 0\n$", done.stdout), (
        done.stdout + done.stderr
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.bool, torch.int64])
def test_the_digest_of_a_device_sees_one_value_and_an_exchange(dtype):
    values = (torch.randn(1000) * 100).to(dtype)
    before = model_state._weighted_sum(values)
    assert model_state._weighted_sum(values.clone()) == before
    changed = values.clone()
    changed[7] = not changed[7] if dtype == torch.bool else changed[7] * 2 + 1
    assert model_state._weighted_sum(changed) != before
    if dtype != torch.bool:
        assert model_state._weighted_sum(values.flip(0)) != before


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_that_are_no_numbers_are_refused(tmp_path, small_model, actlas, value, dtype):
    folder = shutil.copytree(small_model, tmp_path / "copy")
    weights = {
        name: tensor.to(dtype) for name, tensor in load_file(folder / "model.safetensors").items()
    }
    weights["transformer.h.1.mlp.c_fc.bias"][4:6] = value
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (tmp_path / "t.txt").write_text("We saw her.\n")
    done = actlas("extract", "t.txt", "--model", folder, "--store", "s")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"Error: {folder}/model.safetensors: tensor h.1.mlp.c_fc.bias holds 2 values that are "
        f"NaN or infinite: "
        "copy or save the model again"
    ]
    assert not (tmp_path / "s").exists()


def test_weights_that_a_dtype_cannot_hold_are_refused(tmp_path, small_model):
    folder = shutil.copytree(small_model, tmp_path / "copy")
    weights = load_file(folder / "model.safetensors")
    weights["transformer.ln_f.bias"][0] = 1e6
    weights["transformer.wpe.weight"][:] = 3e38  # whose sum is infinite, though each is a number
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert load_for(begun(tmp_path, folder)[0]).transformer.ln_f.bias[0] == 1e6
    with pytest.raises(
        UsageError, match=r"tensor (ln_f.bias|wpe.weight) holds \d+ values that do not fit float16"
    ):
        load_for(begun(tmp_path, folder, dtype="float16")[0])


def test_the_origin_is_forgotten_with_the_model(tmp_path, small_model):
    plan, _ = begun(tmp_path, small_model)
    model = load_for(plan)
    assert (
        model_state.loaded_weights(model)
        == json.loads(json.dumps(plan.specification))["model"]["weights"]
    )
    before = len(model_state._LOADED)
    del model
    gc.collect()
    assert len(model_state._LOADED) < before

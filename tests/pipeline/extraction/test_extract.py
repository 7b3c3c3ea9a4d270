"""Laws of extraction.

Batching changes nothing, sites are added, scarce memory halves the batch, nothing is left behind.
"""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from actlas.pipeline.extraction.devices import find_device
from actlas.pipeline.extraction.loop import extract
from actlas.pipeline.extraction.options import ExtractOptions
from actlas.pipeline.extraction.planning import make_plan
from actlas.pipeline.extraction.writes import WriteQueue
from actlas.pipeline.inputs.sentences import Sentences
from actlas.pipeline.inputs.tokens import tokenize
from actlas.pipeline.models.folder import load, resolve
from actlas.store import Store, StoreError, UsageError
from actlas.store.labels.labels import TOKEN_LABELS
from actlas.store.labels.relabel import relabel
from actlas.store.maintenance.verify import verify
from tests.extraction import extract_texts, plan_for
from tests.small_model import TEXTS, save_model

TOLERANCE = 1e-5


@pytest.mark.parametrize("unit_tokens", [1, 45, 10_000])
def test_units_change_nothing_but_the_last_bits(tmp_path, small_model, unit_tokens):
    whole, _ = extract_texts(tmp_path / "whole", small_model, TEXTS, ("resid", "k", "nll"))
    parts, _ = extract_texts(
        tmp_path / "parts", small_model, TEXTS, ("resid", "k", "nll"), unit_tokens=unit_tokens
    )
    assert parts.id == whole.id
    xr.testing.assert_allclose(parts.dataset(), whole.dataset(), rtol=TOLERANCE, atol=TOLERANCE)


def test_a_site_added_later_is_computed_alone_and_old_files_stay(tmp_path, small_model):
    run, _ = extract_texts(tmp_path / "store", small_model, TEXTS, ("resid", "q"), unit_tokens=50)
    before = {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in run.folder.rglob("*")
        if path.is_file()
    }
    run, stats = extract_texts(tmp_path / "store", small_model, TEXTS, ("q", "mlp_post"))
    assert stats.units == len(run.units)
    assert run.sites == ("mlp_post", "q", "resid")
    added = [commit for commit in run.commits if "mlp_post" in commit.sites]
    assert all(set(commit.sites) == {"mlp_post"} for commit in added)
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before}


def labelled_plan(store, model, name, sites, texts=TEXTS):
    column = {name: np.array([f"{name} {text}" for text in texts])}
    folder = resolve(str(model))
    tokens = tokenize(Sentences("test", tuple(texts), tuple(range(len(texts))), column), folder)
    return make_plan(
        Store.create(store),
        folder,
        tokens,
        "test",
        ExtractOptions(sites, unit_tokens=50, device="cpu"),
    )


def test_shards_added_later_have_no_labels_that_could_come_back(tmp_path, small_model):
    for name, *sites in (
        ("first", "q"),
        ("second", "resid_mid"),
        ("third", "mlp_out"),
        ("fourth", "z"),
        ("fifth", "k"),
    ):
        plan = labelled_plan(tmp_path / "store", small_model, name, tuple(sites))
        run = plan.store.add(
            plan.specification, plan.description, plan.units, plan.tokens.labels.columns
        )
        assert bool(plan.label_change) == (name != "first")
        relabel(run, plan.tokens.labels.columns, "test")
        extract(plan, run)
        assert run.labels.columns.keys() == {name}
        assert all(
            commit.labels.keys() == {*TOKEN_LABELS, "row_size", "text"} for commit in run.commits
        )
    assert run.labels_version == 5


def test_a_run_that_is_not_finished_takes_other_labels(tmp_path, small_model):
    plan = labelled_plan(tmp_path / "store", small_model, "first", ("q",))
    run = plan.store.add(
        plan.specification, plan.description, plan.units, plan.tokens.labels.columns
    )
    extract(replace(plan, missing=plan.missing[:1]), run)
    second = labelled_plan(tmp_path / "store", small_model, "second", ("q",))
    assert (second.label_change.added, second.label_change.removed) == (("second",), ("first",))
    relabel(run, second.tokens.labels.columns, "test")
    extract(second, run)
    assert not run.missing(["q"])
    assert run.dataset()["second"].values[0] == f"second {TEXTS[0]}"


def test_other_texts_of_the_same_tokens_are_refused(tmp_path, small_model):
    plan = labelled_plan(tmp_path / "store", small_model, "first", ("q",))
    plan.store.add(plan.specification, {**plan.description, "texts": "0" * 64}, plan.units)
    with pytest.raises(UsageError, match="the same tokens, but of other texts"):
        labelled_plan(tmp_path / "store", small_model, "first", ("q",))


def test_nothing_is_left_behind(tmp_path, small_model):
    run, _ = extract_texts(tmp_path / "store", small_model, TEXTS, unit_tokens=50)
    assert list((run.folder / "tmp").iterdir()) == []
    assert len(list((run.folder / "shards").iterdir())) == len(run.commits) == len(run.units)


def test_a_second_extraction_at_the_same_time_is_harmless(tmp_path, small_model):
    plan = plan_for(tmp_path / "store", small_model, TEXTS, ("q",), unit_tokens=50)
    run = Store(tmp_path / "store").add(plan.specification, plan.description, plan.units)
    first = extract(plan, run)
    second = extract(plan, run)  # planned before the first had committed anything
    assert (first.units, first.lost_races) == (len(plan.units), 0)
    assert (second.units, second.lost_races) == (0, len(plan.units))
    assert len(list((run.folder / "shards").iterdir())) == len(plan.units)
    assert not [problem for checked in verify(run) for problem in checked.problems]


def test_overflow_on_narrowing_is_refused_with_its_place(tmp_path, small_model):
    folder = save_model(tmp_path / "huge", seed=1)
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["transformer.h.1.mlp.c_proj.bias"] += 1e6
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(StoreError, match=r"mlp_out, layer 1: 1e\+06 does not fit float16"):
        extract_texts(tmp_path / "store", folder, TEXTS, ("mlp_out",), stored_dtype="float16")
    run = Store(tmp_path / "store").runs()[0]
    assert run.commits == ()
    assert list((run.folder / "shards").iterdir()) == list((run.folder / "tmp").iterdir()) == []


def test_blocks_that_are_not_needed_are_not_run(tmp_path, small_model, monkeypatch):
    """With ``q`` alone the last block's MLP and the final norm are never reached."""
    from torch.nn.modules.module import register_module_forward_pre_hook
    from transformers import GPT2LMHeadModel

    reached, watched_modules = [], {}
    original = GPT2LMHeadModel.from_pretrained

    def watched(*args, **options):
        model, info = original(*args, **options)
        watched_modules.update(
            (model.transformer.get_submodule(path), path) for path in ("h.1.mlp", "h.2.mlp", "ln_f")
        )
        return model, info

    def reach(module, _):
        reached.extend(path for watched, path in watched_modules.items() if watched is module)

    monkeypatch.setattr(GPT2LMHeadModel, "from_pretrained", watched)
    with register_module_forward_pre_hook(reach):  # on the model itself a hook is refused
        extract_texts(tmp_path / "store", small_model, TEXTS, ("q",))
    whole = ["h.1.mlp", "h.2.mlp", "ln_f"]  # once, when the model's layout is checked
    assert reached == [*whole, "h.1.mlp"]


def test_hooks_are_missing_after_a_failure(small_model):
    from actlas.pipeline.extraction.hooks import captured

    folder = resolve(str(small_model))
    import torch

    model = load(folder, dtype=torch.float32, device=torch.device("cpu"), attention="sdpa")
    with (
        pytest.raises(KeyError),
        captured(model, folder.architecture.hook_points(["resid", "q"]), lambda *_: None),
    ):
        assert model.transformer.h[0]._forward_pre_hooks
        raise KeyError
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_errors_of_the_writer_reach_the_caller():
    with WriteQueue() as writes, pytest.raises(ZeroDivisionError):
        writes.submit(1, lambda: 1 / 0)
        writes.drain()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "cannot write activations: No space left"),
        (MemoryError(), "out of memory"),
    ],
)
def test_what_the_writer_cannot_do_is_said_in_one_line(
    tmp_path, small_model, monkeypatch, error, message
):
    """As on a file system that gives out the room it has reserved."""

    def refuse(*_):
        raise error

    monkeypatch.setattr("actlas.store.writing.shard.ShardWriter.write", refuse)
    with pytest.raises(StoreError, match=message):
        extract_texts(tmp_path / "store", small_model, TEXTS, unit_tokens=50)
    run = Store(tmp_path / "store").runs()[0]
    assert run.commits == ()
    assert list((run.folder / "shards").iterdir()) == list((run.folder / "tmp").iterdir()) == []


def test_a_model_too_large_for_memory_is_one_line(tmp_path, small_model, monkeypatch):
    def refuse(*_args, **_options):
        raise RuntimeError(
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        )

    monkeypatch.setattr("actlas.pipeline.extraction.loop.load", refuse)
    with pytest.raises(StoreError, match=r"out of memory when model .* was loaded on cpu"):
        extract_texts(tmp_path / "store", small_model, TEXTS, device="cpu")


def test_devices():
    assert find_device("cpu").type == "cpu"
    for wrong, message in (
        ("cuda:99", "is not there"),
        ("gpu", "unknown device"),
        ("meta", "not supported"),
    ):
        with pytest.raises(UsageError, match=message):
            find_device(wrong)


MEMORY = """
import resource, sys
from pathlib import Path
from tests.extraction import plan_for
from actlas.pipeline.extraction import loop as module
from actlas.pipeline.models.folder import load
from actlas.store import Store
import torch
sites = ("resid", "mlp_post", "nll")
texts = ["the garden" * 13] * 2048
store, model = map(Path, sys.argv[1:3])
plan = plan_for(store, model, texts, sites, unit_tokens=10**6, attention="eager")
run = plan.store.add(plan.specification, plan.description, plan.units)
model = load(plan.model, dtype=torch.float32, device=torch.device("cpu"), attention="eager")
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000,) * 2)
module.extract_with(model, plan, run)
print(run.commits[0].provenance["batches"])
"""


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux", reason="limits the address space, which Linux alone enforces"
)
def test_memory_that_runs_out_halves_the_batches(tmp_path, small_model):
    """In a process that may not take more memory than a part of the unit needs.

    The result is what it always is.
    """
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "store"), str(small_model)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1
    run = Store(tmp_path / "store").runs()[0]
    whole, _ = extract_texts(tmp_path / "whole", small_model, ["the garden" * 13] * 2, ("resid",))
    got = run.dataset(["resid"], check=True)["resid"].sel(sentence=2047).values
    np.testing.assert_allclose(
        got, whole.dataset(["resid"])["resid"].sel(sentence=1), rtol=TOLERANCE, atol=TOLERANCE
    )

"""Edits from a user's side.

One that changes nothing is reported, TransformerLens' names work, any name of a baseline does.
"""

import json

import pytest

from actlas.pipeline.edits.spec import parse_edit
from actlas.pipeline.extraction import loop
from actlas.scripts.extraction.edit_check import edit_notes
from actlas.store import Store
from tests.extraction import extract_texts
from tests.small_model import TEXTS


@pytest.fixture
def sweep(actlas, store, stored_once, small_model):
    def run(*options):
        return actlas(
            "sweep",
            stored_once / "her.txt",
            "--model",
            small_model,
            "--store",
            "store",
            "--unit-tokens",
            60,
            *options,
        )

    return run


def test_an_edit_that_changes_nothing_is_stored_and_reported(sweep, actlas):
    done = sweep("--edit", "scale:layer=1,factor=1|2", "--quiet")
    assert done.returncode == 0, done.stderr
    notes = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    assert notes == [
        "note: scale:layer=1,factor=1 changed nothing: run it.scale-layer-1-factor-1 has the "
        "numbers of its baseline there"
    ]
    shown = actlas("show", "it.scale-layer-1-factor-1", "--store", "store").stdout
    assert "changed nothing" in shown
    again = actlas("show", "it.scale-layer-1-factor-2", "--store", "store").stdout
    assert "changed nothing" not in again


@pytest.mark.slow
def test_any_name_of_the_baseline_works_for_its_variants(sweep, actlas, store):
    done = sweep("--edit", "skip:layer=0-1", "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "next: actlas scan it"
    store.name(store.run("it"), "another")
    for pattern in ("it.skip*", "another.skip*", "another.skip-layer-1"):
        shown = actlas(
            "downstream", pattern, "--store", "store", "--out", pattern.partition("*")[0], "--json"
        )
        assert shown.returncode == 0, shown.stderr
        first_depths = json.loads(shown.stdout)["first_depth"]
        assert list(first_depths.values()) == ([1, 2] if "*" in pattern else [2])
    renamed = actlas("rename", "it", "third", "--store", "store")
    assert renamed.returncode == 0, renamed.stderr
    assert Store(store.path).run("third.skip-layer-0").edits[0].text == "skip:layer=0"


@pytest.mark.slow
def test_transformerlens_names_with_a_layer_are_understood(
    sweep, actlas, small_model, sentence_file
):
    done = sweep(
        "--edit",
        "zero:site=blocks.*.attn.hook_z,head=1",
        "--site",
        "blocks.2.hook_resid_post",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    edits = [each["edits"][0]["edit"] for each in json.loads(done.stdout)["variants"]]
    assert edits == [f"zero:site=z,layer={layer},head=1" for layer in range(3)]
    refused = sweep("--edit", "skip:layer=1", "--site", "blocks.3.attn.hook_q")
    assert (refused.returncode, refused.stderr) == (
        2,
        "Error: site 'blocks.3.attn.hook_q': the model has layers 0 to 2\n",
    )
    norms = actlas("norms", "it", "--store", "store", "--site", "blocks.0.hook_resid_pre")
    assert norms.returncode == 0, norms.stderr


@pytest.mark.slow
def test_units_of_a_block_are_an_output_edited(sweep, actlas, stored_once, small_model):
    options = [
        "--model",
        small_model,
        "--store",
        "store",
        "--unit-tokens",
        60,
        "--site",
        "resid",
        "--site",
        "attn_out",
    ]
    edit = [
        "--site",
        "mlp_out",
        "--edit",
        "scale:layer=2,dims=::2,factor=0.5",
        "--name",
        "half",
        "--quiet",
    ]
    assert actlas("extract", stored_once / "her.txt", *options, *edit).returncode == 0
    done = actlas("reconstruct", "half", "--store", "store")
    assert done.returncode == 0, done.stdout
    assert "(output edited, not judged: layer 2)" in " ".join(done.stdout.split())


def test_other_devices_than_the_baselines_are_noted(tmp_path, small_model, monkeypatch):
    given, edits = (tmp_path / "store", small_model, TEXTS, ("resid",)), "skip:layer=1"
    extract_texts(*given)
    same, _ = extract_texts(*given, edits=(parse_edit(edits),))
    assert edit_notes(same) == []
    monkeypatch.setattr(loop, "device_name", lambda device: "cuda (a card)")
    other, _ = extract_texts(*given, edits=(parse_edit("skip:layer=0"),))
    assert edit_notes(other) == [
        f"note: run {other.name} was computed on cuda (a card), its baseline on cpu: they differ "
        "by the rounding of the devices too"
    ]

"""Sweeps and edits from a user's side.

They run in processes of their own: resumed, cached, refused where they are wrong.
"""

import json
import signal
import time

import pytest
import xarray as xr

from actlas.store import Store
from actlas.store.maintenance.verify import verify
from tests import commands
from tests.store.making import shards

SWEEP = ("--edit", "skip:layer=*", "--edit", "scale:layer=1,factor=0.5|2")


@pytest.fixture
def sweep(actlas, small_model):
    def run(*arguments, sentences="her.txt"):
        options = ["--model", small_model, "--store", "store", "--unit-tokens", 60]
        return actlas("sweep", sentences, *options, *arguments)

    return run


def variants(tmp_path):
    return [run for run in Store(tmp_path / "store").runs() if run.edits]


def test_a_sweep_stores_its_baseline_and_every_variant_once(sweep, sentence_file, tmp_path):
    first = sweep(*SWEEP, "--json")
    assert first.returncode == 0, first.stderr
    record = json.loads(first.stdout)
    assert record["baseline"]["computed"]
    assert [each["computed"] for each in record["variants"]] == [True] * 5
    edits = [each["edits"][0]["edit"] for each in record["variants"]]
    assert edits == [
        *(f"skip:layer={block}" for block in range(3)),
        "scale:layer=1,factor=0.5",
        "scale:layer=1,factor=2",
    ]
    assert all(each["edits"][0]["times_applied"] == 5 for each in record["variants"])
    assert all(each["upstream"]["max_difference"] == 0 for each in record["variants"])
    assert {run.sites for run in Store(tmp_path / "store").runs()} == {("nll", "resid")}
    again = json.loads(sweep(*SWEEP, "--edit", "skip:layer=0", "--json").stdout)
    assert not again["baseline"]["computed"]
    assert [each["computed"] for each in again["variants"]] == [False] * 5
    assert [each["run"] for each in again["variants"]] == [
        each["run"] for each in record["variants"]
    ]


def test_a_sweep_says_what_it_did_in_text(sweep, sentence_file):
    done = sweep("--edit", "skip:layer=1-2")
    assert done.returncode == 0, done.stderr
    assert "2 variants: 2 computed" in done.stdout
    assert "skip:layer=1  computed    100 %" in done.stdout
    assert "next: actlas scan her-model" in done.stdout
    assert "0 computed" in sweep("--edit", "skip:layer=1-2").stdout


def test_dry_run_lists_and_changes_nothing(sweep, sentence_file, tmp_path):
    done = sweep(*SWEEP, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("new") == 5
    assert "baseline to compute first: resid nll" in done.stdout
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_further_sites_are_added_to_baseline_and_variants(sweep, sentence_file, tmp_path):
    sweep("--edit", "skip:layer=1")
    done = sweep("--edit", "skip:layer=1", "--site", "q", "--site", "hook_resid_pre", "--json")
    assert done.returncode == 0, done.stderr
    assert {run.sites for run in Store(tmp_path / "store").runs()} == {("nll", "q", "resid")}
    (variant,) = variants(tmp_path)
    dataset, clean = variant.dataset(["q"])["q"], variant.baseline.dataset(["q"])["q"]
    # of the skipped block too: nothing of it was computed
    xr.testing.assert_equal(dataset[:2], clean[:2])
    assert not dataset[2].equals(clean[2])


def test_extract_stores_several_edits_as_one_run(actlas, small_model, sentence_file, tmp_path):
    options = ["--model", small_model, "--store", "store", "--site", "z", "--name", "mine"]
    edits = ["--edit", "zero:site=z,layer=2,head=1", "--edit", "skip:layer=0"]
    done = actlas("extract", "her.txt", *options, *edits)
    assert done.returncode == 0, done.stderr
    assert "edit       skip:layer=0\n" in done.stdout
    assert "changed 100 % of" in done.stdout
    assert "upstream   equals the baseline, her-model, exactly" in done.stdout
    run = Store(tmp_path / "store").run("mine")
    assert [edit.text for edit in run.edits] == ["skip:layer=0", "zero:site=z,layer=2,head=1"]
    assert float(abs(run.dataset()["z"][2, :, 1]).max()) == 0
    shown = actlas("show", "mine", "--store", "store").stdout
    assert "edit       zero:site=z,layer=2,head=1" in shown
    assert "layer 1-2, token, head 5, d_head 7" in shown
    swapped = actlas("extract", "her.txt", *options, *edits[2:], *edits[:2], "--json")
    assert json.loads(swapped.stdout)["units"]["computed"] == 0
    assert json.loads(swapped.stdout)["edits"][0]["edit"] == "skip:layer=0"


def test_the_name_asked_for_is_the_variants_and_not_its_baselines(
    actlas, small_model, sentence_file, tmp_path
):
    options = [
        "--model",
        small_model,
        "--store",
        "store",
        "--site",
        "nll",
        "--edit",
        "skip:layer=0",
        "--name",
        "her-model",
    ]
    done = actlas("extract", "her.txt", *options)
    assert done.returncode == 0, done.stderr
    run = Store(tmp_path / "store").run("her-model")
    assert [edit.text for edit in run.edits] == ["skip:layer=0"]
    assert Store(tmp_path / "store").run("her-model-2").id == run.baseline.id


def test_a_long_name_of_the_baseline_leaves_room_for_the_edits(
    actlas, sweep, small_model, sentence_file, tmp_path
):
    options = ["--model", small_model, "--store", "store", "--site", "resid", "--unit-tokens", 60]
    actlas("extract", "her.txt", *options, "--name", "x" * 100)
    sweep("--edit", "skip:layer=0-1")
    assert [run.name.lstrip("x") for run in variants(tmp_path)] == [
        ".skip-layer-0",
        ".skip-layer-1",
    ]
    assert all(len(run.name) <= 100 for run in variants(tmp_path))


def test_a_dry_run_of_a_variant_names_the_baseline(actlas, small_model, sentence_file):
    done = actlas(
        "extract",
        "her.txt",
        "--model",
        small_model,
        "--site",
        "q",
        "--edit",
        "skip:layer=0",
        "--dry-run",
    )
    assert "edits       skip:layer=0" in done.stdout
    assert "to be computed first, resid q" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing option '--edit'"),
        (["--edit", "skip:layer=3"], "layer 3: the model has layers 0 to 2"),
        (["--edit", "skip:layers=1"], "unknown field 'layers': did you mean layer"),
        (["--edit", "scale:layer=0,factor=inf"], "factor=inf is not finite"),
        (["--edit", "zero:site=k,layer=0,head=*|5"], "head=5: the model has heads 0 to 4"),
        (["--edit", "skip:layer=1", "--site", "qq"], "unknown site 'qq'"),
    ],
)
def test_bad_input_is_one_line_and_stores_nothing(
    sweep, sentence_file, tmp_path, arguments, message
):
    done = sweep(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "store").exists()


def test_extract_says_that_many_edits_at_once_are_a_sweep(actlas, small_model, sentence_file):
    done = actlas("extract", "her.txt", "--model", small_model, "--edit", "skip:layer=*")
    assert done.returncode == 2
    assert "several at once: `actlas sweep`" in done.stderr


@pytest.mark.parametrize("command", ["sweep", "downstream", "scan"])
def test_help(actlas, command):
    done = actlas(command, "--help")
    assert done.returncode == 0
    assert "--store" in done.stdout


@pytest.mark.slow
def test_an_interrupted_sweep_resumes(small_model, tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(
        "".join(
            f"When the rain began, Tom gave her coat number {n} and walked home.\n"
            for n in range(90)
        )
    )
    options = [
        "--edit",
        "noise:site=mlp_post,layer=0-1,seed=0-2",
        "--quiet",
        "--unit-tokens",
        "200",
    ]
    command = ["sweep", "corpus.txt", "--model", small_model, "--store", "store", *options]
    process = commands.Command(tmp_path, *command)
    # the baseline is stored, and a variant or two
    while len(list(tmp_path.glob("store/runs/*/commits"))) < 4:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "of 6 variants are stored, run the same command again to go on" in said
    stored = {shard for run in variants(tmp_path) for shard in shards(run)}
    done = commands.run(tmp_path, *command)
    assert done.returncode == 0, done.stderr
    assert "6 variants" in done.stdout
    found = variants(tmp_path)
    assert len(found) == 6
    assert stored < {shard for run in found for shard in shards(run)}
    assert not [problem for run in found for checked in verify(run) for problem in checked.problems]
    assert not any(run.missing(["resid", "nll"]) for run in found)


def test_verify_reports_a_variant_whose_baseline_was_altered(
    actlas, sweep, sentence_file, tmp_path
):
    sweep("--edit", "skip:layer=1")
    (variant,) = variants(tmp_path)
    shard = shards(variant.baseline)[0]
    content = bytearray(shard.read_bytes())
    content[variant.baseline.commits[0].sites["resid"].offset] ^= 1
    shard.chmod(0o644)
    shard.write_bytes(content)
    done = actlas("verify", variant.name, "--store", "store")
    assert done.returncode == 1
    assert "resid[0] was altered" in done.stdout + done.stderr
    shard.unlink()
    done = actlas("downstream", variant.name, "--store", "store")
    assert done.returncode == 1
    assert f"{shard.name} is missing" in done.stderr
    assert len(done.stderr.splitlines()) == 1

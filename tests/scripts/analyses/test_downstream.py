"""``downstream`` and ``scan`` from a user's side.

Then what studies 3 to 5 must show on the shipped model.
"""

import json
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from actlas.scripts.dev.demo_grammar import sentences
from actlas.scripts.dev.train_demo_model import TrainingOptions
from actlas.scripts.results.output import Destination
from actlas.store import Store
from tests import commands
from tests.answers import answer, loaded

ENGLISH = Path(__file__).parents[3] / "pipeline" / "texts" / "english.txt"
EDITS = (
    "skip:layer=*",
    "scale:layer=2,factor=0.5|1.5",
    "scale:layer=5,factor=0.1|10",
    "zero:site=k|z,layer=4,head=2",
    "noise:site=mlp_post,layer=3,neurons=::2,mean=10,std=1",
)


def test_the_shipped_sentences_are_held_out_ones_of_the_demo_models_grammar():
    lines = ENGLISH.read_text().splitlines()
    assert lines == list(islice(sentences(TrainingOptions().heldout_seed), len(lines)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store of variants of the shipped model on sentences it knows how to predict."""
    folder = tmp_path_factory.mktemp("variants")
    shutil.copy(ENGLISH, folder / "english.txt")
    (folder / "other.txt").write_text("She saw her.\n")
    edits = [argument for edit in EDITS for argument in ("--edit", edit)]
    done = commands.run(folder, "sweep", "english.txt", "--store", "store", *edits, "--quiet")
    assert done.returncode == 0, done.stderr
    done = commands.run(
        folder, "sweep", "other.txt", "--store", "store", "--edit", "skip:layer=1", "--quiet"
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def result(folder):
    done = commands.run(
        folder, "downstream", "english-demo.*", "--store", "store", "--out", "all", "--json"
    )
    assert done.returncode == 0, done.stderr
    return loaded(folder / "all", "downstream").swap_dims(variant="edits")


@pytest.fixture(scope="module")
def scanned(folder):
    done = commands.run(folder, "scan", "english-demo", "--store", "store", "--out", "all")
    assert done.returncode == 0, done.stderr
    return loaded(folder / "all", "scan")


def test_scaling_block_2_changes_nothing_upstream_and_most_at_the_end(result):
    delta = result["delta"].sel(edits="scale:layer=2,factor=0.5")
    assert (delta.sel(depth=[0, 1, 2]) == 0).all()
    assert delta.sel(depth=3) > 1
    assert delta.sel(depth=8) > 1.05 * delta.sel(depth=3)


@pytest.mark.slow
def test_a_skipped_block_steps_exactly_nowhere(result):
    for block in range(8):
        step = result["step"].sel(edits=f"skip:layer={block}")
        assert step.sel(depth=block + 1) == 0.0
        np.testing.assert_array_equal(
            step.sel(depth=slice(1, block)), result["baseline_step"].sel(depth=slice(1, block))
        )
        assert (step.drop_sel(depth=[0, block + 1]) > 0).all()


def test_block_0_is_the_one_whose_removal_costs_most(scanned):
    change = scanned["nll_change"]
    assert change.sel(layer=0) > 3
    assert (change.sel(layer=slice(1, 7)) < 0.3 * change.sel(layer=0)).all()
    assert (change > 0).all()
    assert (
        scanned["final_relative_delta"].sel(layer=0)
        > 1.5 * scanned["final_relative_delta"].sel(layer=slice(1, 7)).max()
    )


def test_spread_collapses_and_explodes_where_a_block_is_scaled(result):
    std, clean = result["std"], result["baseline_std"]
    np.testing.assert_allclose(
        std.sel(edits="scale:layer=5,factor=0.1", depth=6), clean.sel(depth=6) / 10, rtol=1e-5
    )
    np.testing.assert_allclose(
        std.sel(edits="scale:layer=5,factor=10", depth=6), clean.sel(depth=6) * 10, rtol=1e-5
    )
    assert std.sel(edits="scale:layer=5,factor=0.1", depth=8) > 0.3 * clean.sel(depth=8)


def test_noise_far_outside_the_distribution_hurts_more_than_a_head(result):
    change = result["nll_change"]
    assert change.sel(edits="noise:site=mlp_post,layer=3,neurons=::2,mean=10,std=1,seed=0") > 1
    assert abs(change.sel(edits="zero:site=z,layer=4,head=2")) < 0.1
    assert result["delta"].sel(edits="zero:site=z,layer=4,head=2", depth=5) != result["delta"].sel(
        edits="zero:site=k,layer=4,head=2", depth=5
    )


@pytest.mark.slow
def test_variants_are_compared_a_few_at_a_time(folder, result, monkeypatch):
    """The graph of a pass, which outgrows its numbers, does not grow with the sweep.

    What is found is the same.
    """
    from actlas.analysis import registry
    from actlas.analysis.downstream import compute as module
    from actlas.scripts.analyses.asked import Asked
    from actlas.scripts.analyses.variants import find_variants, named_baseline

    real, at_once = module.downstream, []

    def counted(baseline, variants, groups, drawn):
        at_once.append(len(variants))
        return real(baseline, variants, groups, drawn)

    monkeypatch.setattr(module, "downstream", counted)
    runs = find_variants(Store(folder / "store"), ("english-demo.*",))
    study = registry.find("downstream")
    asked = Asked(study, study.options(), named_baseline(runs[0]), tuple(runs))
    found = asked.carry_out(Destination(folder / "again")).result
    assert sum(at_once) == len(runs) == result.sizes["edits"] > study.together
    assert max(at_once) == study.together
    last = real(
        runs[-1].baseline.dataset(), [module.Variant(runs[-1].name, "", 0, runs[-1].dataset())]
    ).compute()
    for name in set(found) & set(last):
        np.testing.assert_array_equal(
            found[name].isel(variant=-1, missing_dims="ignore"), np.squeeze(last[name].values)
        )


@pytest.mark.slow
def test_a_first_token_counts_for_more_than_another_when_it_is_counted(folder, result):
    done = commands.run(
        folder,
        "downstream",
        "english-demo.scale-layer-2-factor-0.5",
        "--store",
        "store",
        "--first-token",
        "include",
        "--json",
    )
    (delta,) = json.loads(done.stdout)["delta"].values()
    without = result["delta"].sel(edits="scale:layer=2,factor=0.5", depth=3).item()
    first, others = result.sizes["sentence"], 1665 - result.sizes["sentence"]
    assert (delta[3] ** 2 - without**2) / first > 1.5 * without**2 / others


def test_results_say_what_they_are_of(folder, result, scanned):
    assert len(result.attrs["runs"].split()) == 1 + result.sizes["edits"]
    assert json.loads(result.attrs["options"])["first_token"] == "leave"
    assert result["delta"].attrs["long_name"]
    assert result["nll_change"].attrs["units"] == "nat"
    assert scanned["layer"].attrs["long_name"] == "layer that is skipped"
    for stage, kinds in {"downstream": ("", "_step", "_std"), "scan": ("",)}.items():
        path = answer(folder / "all", stage)
        for kind in kinds:
            assert path.with_name(f"{path.stem}{kind}.png").stat().st_size > 10_000
            assert path.with_name(f"{path.stem}{kind}.svg").exists()


@pytest.mark.slow
def test_tables(folder):
    done = commands.run(folder, "downstream", "english-demo.scale-layer-2*", "--store", "store")
    found, groups, table = (part.splitlines() for part in done.stdout.split("\n\n")[:3])
    (at,) = (number for number, line in enumerate(table) if line.startswith("edits"))
    assert [line.split("  ")[0] for line in groups] == ["Groups of tokens", "group", "later tokens"]
    assert found[0].startswith("of 2 edits, scale:layer=2,factor=")
    assert any(line.startswith("2 variants: at the last depth they differ") for line in found)
    assert table[0].startswith("Distance to the run without edits, at the first depth that changes")
    assert table[at].split("  ")[-1] == "change of loss"
    assert table[at + 1].startswith("scale:layer=2,factor=0.5  ")
    done = commands.run(folder, "scan", "english-demo", "--store", "store", "--json")
    record = json.loads(done.stdout)
    assert record["layer"] == list(range(8))
    assert len(record["nll_change"]) == len(record["variants"]) == 8
    assert "skipping layer 0" in record["findings"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["downstream"], "Missing argument 'VARIANT"),
        (["downstream", "english-demo"], "run english-demo has no edits"),
        (
            ["downstream", "english-demo.skip-layer-1", "other-demo.skip-layer-1"],
            "have different baselines",
        ),
        (["downstream", "nothing*"], "no run has a name like 'nothing*'"),
        (["downstream", "english-demo.skip-blok-1"], "did you mean"),
        (["scan", "english-demo.skip-layer-1"], "has edits itself"),
        (["scan", "nobody"], "unknown run 'nobody'"),
    ],
)
def test_bad_input(folder, arguments, message):
    done = commands.run(folder, *arguments, "--store", "store")
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_scan_without_a_sweep_says_how_to_make_one(folder):
    done = commands.run(
        folder, "extract", "other.txt", "--store", "fresh", "--site", "resid", "--site", "nll"
    )
    assert done.returncode == 0, done.stderr
    done = commands.run(folder, "scan", "other-demo", "--store", "fresh")
    assert done.returncode == 2
    assert 'actlas sweep SENTENCES … --edit "skip:layer=*"' in done.stderr


@pytest.mark.slow
def test_a_variant_without_the_residual_says_how_to_add_it(folder):
    edit = ("--edit", "zero:site=k,layer=0")
    commands.run(
        folder, "extract", "other.txt", "--store", "bare", "--site", "nll", *edit, "--name", "mine"
    )
    done = commands.run(folder, "downstream", "mine", "--store", "bare")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: run mine has no such site yet: unknown site 'resid'")
    assert len(done.stderr.splitlines()) == 1


def test_a_scan_of_single_tokens_is_refused(folder):
    (folder / "words.txt").write_text("A\nA\n")
    commands.run(
        folder, "sweep", "words.txt", "--store", "words", "--edit", "skip:layer=1", "--quiet"
    )
    done = commands.run(folder, "scan", "words-demo", "--store", "words")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: run words-demo: every sentence has one token alone")
    assert len(done.stderr.splitlines()) == 1

"""Studies of a run that keeps some of its layers: true numbers, or a line of what is missing."""

import json

import pytest

from actlas.store import Store

KEPT = ("--layers", "0,2", "--unit-tokens", "60")
WORDS = {
    "variance": ("--target", "her"),
    "cosine": ("--target", "her", "--bins", "20"),
    "reconstruct": (),
    "norms": ("--outliers", "2"),
    "histogram": ("--site", "mlp_out"),
}


@pytest.fixture
def part(actlas, small_model, sentence_file, tmp_path):
    """A run of layers 0 and 2 of three, and so of all depths."""
    done = actlas("extract", "her.txt", "--model", small_model, "--store", "store", *KEPT)
    assert done.returncode == 0, done.stderr
    assert "q k v attn_out mlp_out (0,2)" in done.stdout
    return Store(tmp_path / "store").runs()[0]


@pytest.mark.slow
def test_every_study_uses_the_numbers_of_the_layers(actlas, part):
    for study, words in WORDS.items():
        done = actlas(study, part.id, "--store", "store", "--json", *words)
        assert done.returncode == 0, (study, done.stderr)
        record = json.loads(done.stdout)
        assert "read at layer 0,2 of 0 to 2: no others are stored" in record["findings"][-1], study
    listed = actlas("ls", "--store", "store")
    assert "(parts)" in listed.stdout
    assert "q layer 0,2" in actlas("du", "--store", "store").stdout
    assert "layer 0,2, token, head 5" in actlas("show", part.id, "--store", "store").stdout


@pytest.mark.slow  # three commands that load a model
def test_a_result_is_made_again_when_layers_are_added(actlas, part, small_model, tmp_path):
    (tmp_path / "study.toml").write_text(
        f"""
        [model]
        name = "{small_model}"
        [runs.her]
        sentences = "her.txt"
        layers = "0,2"
        [analyses.variance]
        target = "her"
        """
    )
    place = ("--store", "store", "--quiet")
    assert "variance" in actlas("study", "run", "study.toml", *place).stdout
    assert "up to date" in actlas("study", "check", "study.toml", "--store", "store").stdout
    done = actlas("extract", "her.txt", "--model", small_model, "--store", "store")
    assert done.returncode == 0, done.stderr
    checked = actlas("study", "check", "study.toml", "--store", "store").stdout
    assert "up to date" not in checked


@pytest.mark.slow
def test_studies_that_need_neighbours_say_what_is_missing(actlas, small_model, sentence_file):
    extract = ("extract", "her.txt", "--model", small_model, "--store", "store")
    done = actlas(*extract, "--depths", "0,3", "--name", "ends")
    assert done.returncode == 0, done.stderr
    failed = actlas("reconstruct", "ends", "--store", "store")
    assert failed.returncode == 2
    assert "resid has depths 0,3, missing 1-2" in failed.stderr
    assert "--layers 0-2` adds" in failed.stderr
    assert failed.stderr.count("\n") == 1
    done = actlas("norms", "ends", "--store", "store", "--site", "resid", "--json")
    assert done.returncode == 0, done.stderr
    assert "read at depth 0,3 of 0 to 3" in json.loads(done.stdout)["findings"][-1]


@pytest.mark.slow  # a sweep and two studies
def test_variants_are_compared_at_the_depths_that_all_have(actlas, small_model, sentence_file):
    sweep = ("sweep", "her.txt", "--model", small_model, "--store", "store", "--edit")
    done = actlas(*sweep, "skip:layer=1-2", "--depths", "1,2")
    assert done.returncode == 0, done.stderr
    done = actlas("downstream", "*skip*", "--store", "store", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert any("at depth 2 they differ" in line for line in record["findings"])
    assert "read at depth 1-2 of 0 to 3" in record["findings"][-1]
    failed = actlas("scan", "her-model", "--store", "store")
    assert failed.returncode == 2
    assert "up to depth 2 in common" in failed.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--layers", "0,9"), "--layers has 9, expected layers 0 to 2"),
        (("--layers", "x"), "--layers 'x': 'x' is not a number"),
        (("--depths", "3-1"), "'3-1' is not a number"),
    ],
)
def test_layers_that_are_none_are_refused_in_a_line(
    given, said, actlas, small_model, sentence_file
):
    done = actlas("extract", "her.txt", "--model", small_model, "--store", "store", *given)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1

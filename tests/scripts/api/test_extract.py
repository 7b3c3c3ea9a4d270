"""``actlas.extract`` is the command: the same runs, the same messages, texts of every kind."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pandas as pd
import pytest

import actlas
from actlas.pipeline.inputs.objects import given_sentences
from actlas.store.errors import ActlasWarning, InputError
from tests.small_model import TEXTS


@pytest.fixture
def extract(small_model, tmp_path, monkeypatch):
    """Extract into a store of the test; without a model it is the small one, on disk."""
    monkeypatch.chdir(tmp_path)

    def run(texts, model=small_model, **options):
        return actlas.extract(texts, model, **{"store": tmp_path / "store", **options})

    return run


def test_it_is_the_run_of_the_command_and_prints_nothing(extract, store, sentence_file, tmp_path):
    known, said = store.run("it"), io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        from_file = extract(sentence_file, cached_only=True)
        from_list = extract(list(TEXTS), cached_only=True)
        further = extract(iter(TEXTS), sites="blocks.0.hook_resid_mid", quiet=True)
    assert {from_file.id, from_list.id, further.id} == {known.id}
    assert said.getvalue() == ""
    assert "resid_mid" in further.sites
    command = ["extract", sentence_file, "--model", "demo", "--dry-run", "--json"]
    from tests import commands

    planned = json.loads(commands.run(tmp_path, *command).stdout)["run"]
    assert actlas.extract(TEXTS, sites=("nll",), store=store, quiet=True).id == planned


def test_edits_names_and_options(extract):
    run = extract(TEXTS[:2], sites="resid", name="mine", stored_dtype="bfloat16")
    assert (run.name, run.specification["numerics"]["stored_dtype"]) == ("mine", "bfloat16")
    dropped = extract(TEXTS[:2], sites="nll", dropout_seed=7)
    assert dropped.specification["numerics"]["seed"] == 7
    skipped = extract(TEXTS[:2], sites="resid", edits="skip:layer=1", stored_dtype="bfloat16")
    assert (skipped.baseline_id, skipped.name) == (run.id, "mine.skip-layer-1")
    with pytest.warns(ActlasWarning, match=r"scale:.* changed nothing"):
        extract(TEXTS[:2], sites="resid", edits=["scale:layer=1,factor=1"])


REFUSED = {
    "site": ({"sites": "hook_qq"}, "unknown site 'hook_qq': did you mean"),
    "layer": ({"sites": "blocks.9.attn.hook_q"}, "the model has layers 0 to 2"),
    "edit": ({"edits": "skip:layer=7"}, "layer"),
    "option": ({"devise": "cpu"}, "unknown option 'devise': did you mean device"),
    "layers": ({"layers": [0, "x"]}, "layers is 'x', expected a whole number"),
    "seed": ({"generate": 2, "seed": 1}, "seed is of temperature"),
    "kind": ({"unit_tokens": "many"}, "unit_tokens is 'many', expected a whole number"),
    "choice": ({"special": "some"}, "special is 'some', expected default or bos or none"),
    "dtype": ({"dtype": "float64"}, "dtype is 'float64'"),
    "tokenizer": ({"tokenizer": "x"}, "a folder has its own"),
    "cached": ({"cached_only": True}, "not stored: .*leave cached_only out"),
    "name": ({"name": "a/b"}, "name"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_asked_wrongly_is_one_line_and_leaves_nothing(extract, tmp_path, name):
    options, message = REFUSED[name]
    with pytest.raises(actlas.ActlasError, match=message) as raised:
        extract(TEXTS, **options)
    assert len(str(raised.value).splitlines()) == 1
    assert not (tmp_path / "store").exists()


ROWS = [{"text": text, "kind": at} for at, text in enumerate(TEXTS)]
KINDS = {
    "mappings": lambda: ROWS,
    "pandas": lambda: pd.DataFrame({"kind": range(len(TEXTS)), "text": TEXTS}, index=[*"abcde"]),
    "datasets": lambda: pytest.importorskip("datasets").Dataset.from_list(ROWS),
    "polars": lambda: pytest.importorskip("polars").DataFrame(ROWS),
    "generator": lambda: iter(ROWS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_tables_bring_labels(kind):
    found = given_sentences(KINDS[kind]())
    assert found.text == TEXTS
    np.testing.assert_array_equal(found.columns["kind"], np.arange(len(TEXTS)))
    assert found.columns["kind"].dtype == np.int64


def test_missing_values_and_scalars_of_numpy():
    frame = pd.DataFrame(
        {
            "sentence": ["one", "two"],
            "score": [0.5, np.nan],
            "word": ["a", None],
            "kind": pd.Categorical(["x", "y"]),
            "yes": [True, False],
        }
    )
    found = given_sentences(frame, text_column="sentence", rename=["kind=sort"], drop=["yes"])
    assert np.isnan(found.columns["score"][1])
    assert [*found.columns["word"], *found.columns["sort"]] == ["a", "", "x", "y"]
    assert "yes" not in found.columns
    (count,) = given_sentences([{"text": "one", "n": np.int64(7)}]).columns["n"]
    assert (count, type(count)) == (7, np.int64)


BAD = {
    "column": (pd.DataFrame({"txt": ["a"]}), "unknown column 'text': did you mean txt"),
    "twice": (pd.DataFrame([["a", 1, 2]], columns=["text", "x", "x"]), "are called 'x'"),
    "splits": ({"train": ROWS}, "is a dict of train: give one of them"),
    "number": (7, "texts is a int, expected a list"),
    "item": (["a", 7], r"texts, item 2: is a int, expected a text or a mapping"),
    "blank": (["a", " "], "texts, item 2: blank"),
    "none": ([], "texts holds no sentence"),
    "date": ([{"text": "a", "when": pd.Timestamp(0)}], "column 'when' is a Timestamp"),
    "key": ([{"txt": "a"}], "item 1: expected an object with the text in 'text'"),
    "reserved": ([{"text": "a", "token": 1}], "a column cannot be called 'token'"),
}


@pytest.mark.parametrize("name", BAD)
def test_texts_that_cannot_be_used(name):
    texts, message = BAD[name]
    with pytest.raises((actlas.UsageError, InputError), match=message):
        given_sentences(texts)


def test_a_file_that_is_not_there_and_bad_items_that_are_skipped(extract):
    with pytest.raises(actlas.UsageError, match="does not exist"):
        extract("nowhere.txt")
    with pytest.warns(ActlasWarning, match="skipped 2: blank"):
        run = extract([TEXTS[0], "", TEXTS[1]], sites="nll", skip_bad=True)
    assert run.sentences == 2


def test_part_of_the_layers_and_what_the_model_writes(extract):
    run = extract(TEXTS[:2], sites="q", layers=[0, np.int64(2)], generate=2)
    dataset = run.dataset()
    assert dataset["layer"].values.tolist() == [0, 2]
    assert dataset["generated"].values.sum() == 4
    assert extract(TEXTS[:2], sites="q", layers="0", generate=2, cached_only=True).id == run.id


def test_windows(extract):
    with pytest.warns(actlas.store.errors.ActlasWarning, match="cut into"):
        run = extract([" ".join(TEXTS)], sites="nll", window=8, stride=4)
    assert run.sentences > 2
    assert {"text_index", "window", "window_start"} <= set(run.columns)

"""Special tokens as users choose and meet them: the tokenizer's own, its BOS, or none."""

import json
import shutil

import numpy as np
import pytest

from actlas.scripts.extraction.restoring import extract_command
from actlas.store import Store
from actlas.store.runs.exported import Exported
from tests.small_model import SIZES, TEXTS

END = "<|endoftext|>"
AROUND = {"token": END, "id": 0}


@pytest.fixture(scope="module")
def adding(small_model, tmp_path_factory):
    """The small model with a tokenizer that puts a token before and behind each text."""
    folder = shutil.copytree(small_model, tmp_path_factory.mktemp("adding") / "adding")
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    special = {"SpecialToken": {"id": END, "type_id": 0}}
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [special, {"Sequence": {"id": "A", "type_id": 0}}, special],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {END: {"id": END, "ids": [0], "tokens": [END]}},
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": END, "eos_token": END}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture
def extract(actlas, adding, sentence_file):
    def run(*options, model=adding):
        return actlas("extract", sentence_file, "--model", model, "--store", "store", *options)

    return run


def dry(extract, *options, **rest):
    return json.loads(extract("--dry-run", "--json", *options, **rest).stdout)


def test_the_dry_run_says_what_is_added(extract, small_model):
    text = extract("--dry-run").stdout
    assert f"special     {END} before, {END} after each sentence\n" in text
    assert "special     none\n" in extract("--dry-run", "--no-special").stdout
    default, none = dry(extract), dry(extract, "--no-special")
    assert default["special"] == {"choice": "default", "before": [AROUND], "after": [AROUND]}
    assert none["special"] == {"choice": "none", "before": [], "after": []}
    assert default["tokens"] == none["tokens"] + 2 * len(TEXTS)
    plain, bos = (dry(extract, *some, model=small_model) for some in ((), ("--bos",)))
    assert plain["special"] == {"choice": "default", "before": [], "after": []}
    assert plain["tokens"] == none["tokens"]
    assert bos["special"] == {"choice": "bos", "before": [AROUND], "after": []}


@pytest.mark.slow
def test_what_cannot_be_is_refused(extract, actlas, tmp_path, adding, sentence_file):
    both = extract("--bos", "--no-special")
    assert (both.returncode, len(both.stderr.splitlines())) == (2, 1)
    assert "--bos adds a special token, --no-special leaves all out" in both.stderr
    twice = extract("--bos")
    assert (twice.returncode, len(twice.stderr.splitlines())) == (2, 1)
    assert f"puts its BOS token '{END}' in front of each sentence by itself" in twice.stderr
    study = tmp_path / "mine.toml"
    keys = "bos = true\nno_special = true"
    study.write_text(f'[runs.it]\nsentences = "{sentence_file}"\n{keys}\n')
    checked = actlas("study", "check", study)
    assert checked.returncode == 2
    assert "[runs.it]: --bos adds a special token" in checked.stderr
    assert not (tmp_path / "store").exists()


def test_a_sentence_may_be_as_long_as_the_model_with_them(extract, sentence_file):
    words = SIZES["n_positions"] - 1
    sentence_file.write_text(" ".join(["her"] * words) + "\n")
    long = extract("--dry-run")
    assert long.returncode == 1
    assert "tokens, 2 of them special, but" in long.stderr
    assert extract("--dry-run", "--no-special").returncode == 0


@pytest.mark.slow
def test_a_run_with_special_tokens(extract, actlas, tmp_path):
    """Run, view, export and studies know them; the command that makes it again says the choice."""
    made = json.loads(extract("--json", "--name", "it").stdout)
    assert made["special"] == {"choice": "default", "before": [AROUND], "after": [AROUND]}
    assert extract("--no-special", "--name", "none", "--json").returncode == 0
    store = Store(tmp_path / "store")
    run, none = store.run("it"), store.run("none")
    assert f"tokens, {END} before, {END} after each sentence\n" in (
        actlas("show", "it", "--store", "store").stdout
    )
    assert END not in actlas("show", "none", "--store", "store").stdout
    assert "--no-special" in extract_command(none, (), store.path)
    assert "--no-special" not in extract_command(run, (), store.path)
    dataset, plain = run.dataset(("resid",)), none.dataset(("resid",))
    special = dataset["special"].values
    ends = np.cumsum(run.labels.row_size)
    assert np.flatnonzero(special).tolist() == sorted([0, *ends[:-1], *(ends - 1)])
    assert not plain["special"].any()
    assert dataset["token_id"].values[~special].tolist() == plain["token_id"].values.tolist()
    for control in ("previous", "random", "matched"):
        options = ("--target", "her", "--control", control, "--store", "store", "--json")
        done = actlas("variance", "it", *options)
        assert done.returncode == 0, done.stderr
    norms = actlas("norms", "it", "--store", "store", "--outliers", "2")
    assert norms.returncode == 0, norms.stderr
    assert "special tokens" in norms.stdout
    exported = actlas("export", "it", "her.h5", "--store", "store", "--target", "her")
    assert exported.returncode == 0, exported.stderr
    part = Exported(tmp_path / "her.h5").dataset()
    kept = part["special"].values
    assert kept.any()
    assert (part["token_id"].values[kept] == 0).all()


def test_a_study_leaves_them_out(actlas, tmp_path, adding, sentence_file):
    study = tmp_path / "mine.toml"
    model = f'[model]\nname = "{adding}"\n'
    study.write_text(
        f'{model}[runs.it]\nsentences = "{sentence_file}"\nno_special = true\nsites = ["q"]\n'
    )
    done = actlas("study", "run", study, "--quiet")
    assert done.returncode == 0, done.stderr
    (run,) = Store(tmp_path / "actlas-mine" / "store").runs()
    assert run.description["special"]["choice"] == "none"


def test_special_is_no_name_of_a_column(extract, actlas, adding, tmp_path):
    table = tmp_path / "rows.csv"
    table.write_text("text,special\nWe saw her.,1\n")
    done = actlas("extract", table, "--model", adding, "--store", "store", "--dry-run")
    assert done.returncode != 0
    assert "special" in done.stderr
    assert "--rename" in done.stderr

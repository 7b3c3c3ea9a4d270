"""Commands of studies on runs of other laws: an answer, or one line with the reason."""

import json

import pytest

from actlas.analysis import registry
from actlas.analysis.results.seals import check_result
from actlas.scripts.study.stage import Stage, Subject, is_current
from actlas.store import Store
from tests import commands
from tests.answers import answer
from tests.store.laws import LawContent, run_of, variant_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a store of each law, each with a run ``it`` and a variant ``skipped``."""
    folder = tmp_path_factory.mktemp("laws")
    for law in ("parallel", "post"):
        content = LawContent(law=law, causal=law != "post")
        run = run_of(folder / law, content)
        variant_of(folder / law, run, content)
    return folder


ANSWERED = {
    ("parallel", "variance it --target her"): "Q has 8 heads, K and V have 2",
    ("parallel", "reconstruct it --pair 0,1"): "holds to the rounding of float32",
    ("post", "cosine it --target her --save-matrix"): "context is what stands before and after",
    ("post", "norms it --outliers 2"): "a LayerNorm follows each sum",
    ("post", "reconstruct it --depths-only --pair 1,2"): "changes the residual stream most",
    ("post", "downstream skipped"): "with skip:layer=1 the stream differs by",
    ("post", "histogram it --site v"): "v: standard deviation of later tokens",
}

REFUSED = {
    ("parallel", "norms it --site resid_mid"): "run it has no site resid_mid: attention and MLP",
    ("parallel", "histogram it --site resid_mid"): "run it has no site resid_mid: attention and",
    ("post", "norms it --site final_norm"): "run it has no site final_norm: each block",
    ("post", "reconstruct it"): "run it: its model has no sums to check: a LayerNorm follows",
    ("post", "scan it"): "run it has no site nll: its model sees both sides of a token",
}


@pytest.mark.slow
@pytest.mark.parametrize(("law", "line"), ANSWERED, ids=str)
def test_a_study_answers(folder, law, line):
    done = commands.run(folder, *line.split(), "--store", law, "--out", f"out/{law}")
    assert done.returncode == 0, done.stderr
    assert ANSWERED[law, line] in " ".join(done.stdout.split())
    assert "change of loss" not in done.stdout


@pytest.mark.parametrize(("law", "line"), REFUSED, ids=str)
def test_what_a_model_does_not_have_is_refused_in_a_line(folder, law, line):
    done = commands.run(folder, *line.split(), "--store", law, "--out", "refused")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert done.stderr.startswith(f"Error: {REFUSED[law, line]}")
    assert not (folder / "refused").exists()


@pytest.mark.parametrize("record", [{"law": ["add"]}, {"law": "add", "causal": "yes"}], ids=str)
def test_a_record_of_another_form_is_refused_in_a_line(tmp_path, record):
    run_of(tmp_path / "store", LawContent(record=record))
    done = commands.run(tmp_path, "norms", "it", "--store", "store")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "of its model is" in done.stderr


def test_a_result_is_out_of_date_where_the_record_says_otherwise(tmp_path):
    """Two stores have a run of one id whose records differ, as after an update of actlas."""
    study = registry.find("norms")
    stage = Stage(study, study.options(sites=("resid",)))
    for law in ("add", "parallel"):
        run_of(tmp_path / law, LawContent(record={"law": law}))
    command = ("norms", "it", "--site", "resid", "--store", "add", "--out", "out")
    done = commands.run(tmp_path, *command)
    assert done.returncode == 0, done.stderr
    attributes = check_result(answer(tmp_path / "out", "norms")).attributes
    assert json.loads(attributes["options"])["law"] == "add"
    runs = {law: Subject(Store(tmp_path / law).run("it"), {}) for law in ("add", "parallel")}
    assert is_current(stage, runs["add"], attributes)
    assert not is_current(stage, runs["parallel"], attributes)

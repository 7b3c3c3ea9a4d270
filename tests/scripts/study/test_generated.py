"""Text that a model writes in a study file; the model is loaded once for it and its activations."""

from pathlib import Path

import numpy as np
import pytest

import actlas
from actlas.pipeline.extraction import loop
from actlas.scripts.study.analysing import StudyPaths
from actlas.scripts.study.file import read_study
from actlas.scripts.study.plan import plan_study
from actlas.scripts.study.update import bring_up_to_date
from actlas.store import IncompleteRun, Store, UsageError

PROMPTS = ("We saw her", "Mary lost her key in", "Tom gave her")
STUDY = """
[model]
name = "{model}"
unit_tokens = 30

[runs.it]
sentences = "prompts.txt"
sites = ["resid", "nll"]
generate = 4
temperature = 0.8
seed = 3
edits = ["skip:layer=1"]
"""


@pytest.fixture
def study(tmp_path, small_model):
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS) + "\n", encoding="utf-8")
    path = tmp_path / "it.toml"
    path.write_text(STUDY.format(model=small_model), encoding="utf-8")
    return path


@pytest.fixture
def loads(monkeypatch):
    """Folders of the models that are loaded."""
    found, load = [], loop.load

    def counted(model, **options):
        found.append(model.folder)
        return load(model, **options)

    monkeypatch.setattr(loop, "load", counted)
    return found


def test_a_study_generates_once_and_loads_the_model_once(study, loads, small_model, tmp_path):
    place = StudyPaths(tmp_path / "out", tmp_path / "store")
    with pytest.raises(IncompleteRun, match=r"\[runs.it\]: no stored run .*`actlas study run`"):
        plan_study(read_study(study), place.store)
    assert not place.store.exists()
    bring_up_to_date(read_study(study), place, lambda *_: None, quiet=True)
    assert loads == [Path(small_model)]
    planned = plan_study(read_study(study), place.store)["it"]
    assert planned.stored
    run, variant = (
        Store(place.store).run(each.run_id) for each in (planned.plan, planned.variants[0])
    )
    dataset = run.dataset()
    assert 0 < int(dataset["generated"].sum()) <= 4 * len(PROMPTS)
    np.testing.assert_array_equal(dataset["token_id"], variant.dataset()["token_id"])
    bring_up_to_date(read_study(study), place, lambda *_: None, quiet=True)
    assert len(loads) == 1
    options = {"generate": 4, "temperature": 0.8, "seed": 3, "unit_tokens": 30, "quiet": True}
    sites = ["resid", "nll"]
    other = actlas.extract(
        list(PROMPTS), str(small_model), store=tmp_path / "other", sites=sites, **options
    )
    assert len(loads) == 2
    assert other.id == run.id
    np.testing.assert_array_equal(other.dataset()["resid"].values, dataset["resid"].values)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("generate = 4", "generate = 0", "--generate is 0, expected 1 or more"),
        ("generate = 4\n", "", "--temperature is of --generate"),
        ("temperature = 0.8\n", "", "seed is of temperature"),
        ("generate = 4", 'generate = "4"', "generate is '4', expected a whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused(study, old, new, said):
    study.write_text(study.read_text().replace(old, new))
    with pytest.raises(UsageError, match=r"\[runs.it\]") as refused:
        read_study(study)
    assert said in str(refused.value)

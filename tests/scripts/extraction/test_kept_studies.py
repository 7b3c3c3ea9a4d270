"""Studies of runs that keep some tokens: equal numbers, or a line that says what is missing."""

import numpy as np
import pytest

import actlas
from actlas.analysis import registry
from actlas.store import UsageError
from tests.scripts.extraction.kept_runs import extracted, rows_of


@pytest.mark.slow
def test_groups_are_looked_for_among_all_tokens(tmp_path, small_model, whole):
    run = extracted(tmp_path / "store", small_model, "it", tokens=["her@-1", "her"])
    asked = {"group": ["a=her", "b=her@-1"], "bootstrap": 20}
    for study in ("norms", "cosine"):
        ours, theirs = (getattr(actlas, study)(each, **asked).dataset for each in (run, whole))
        for name in ("group_tokens", "group_position"):
            assert ours[name].sel(group=["a", "b"]).equals(theirs[name].sel(group=["a", "b"]))
    ours, theirs = (actlas.variance(each, target="her") for each in (run, whole))
    for name, values in ours.dataset.data_vars.items():
        if name not in ("pair_target", "pair_control"):
            np.testing.assert_array_equal(values.values, theirs.dataset[name].values)
    before = extracted(tmp_path / "before", small_model, "it", tokens="her@-1")
    (one, other) = (
        actlas.select_groups(each.dataset("q"), {"b": "her@-1"})["b"] for each in (before, whole)
    )
    assert rows_of(whole.dataset("q"), before.dataset("q").isel(token=one)) == other.tolist()
    with pytest.raises(UsageError, match=r"no activations are kept of its 5 tokens.*'her@-1'"):
        actlas.norms(before, group="a=her")
    with pytest.raises(actlas.ActlasError, match=r"5 the word's activations are not kept"):
        actlas.variance(before, target="her")


def test_what_takes_whole_sentences_refuses(last):
    for site in ("pattern", "z", "head_out"):
        with pytest.raises(
            UsageError, match=f"{site} takes all tokens of a sentence.*'last' alone"
        ):
            last.dataset(site)
    with pytest.raises(UsageError, match="takes all tokens of a sentence"):
        actlas.heads(last)


@pytest.mark.slow
def test_every_study_works_or_refuses_in_a_line(last):
    for name in registry.names():
        study = registry.find(name)
        if study.variants != "none":
            continue
        options = {"group": ["a=kind:a", "b=kind:b"], "first_token": "include"}
        try:
            getattr(actlas, name)(last, **options)
        except actlas.ActlasError as error:
            assert len(str(error).splitlines()) == 1

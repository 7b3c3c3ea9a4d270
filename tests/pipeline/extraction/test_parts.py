"""Keeping some layers and depths: the same run, whatever is kept, in whatever order it comes."""

from collections import Counter

import numpy as np
import pytest

from actlas.pipeline.edits.spec import parse_edit
from actlas.pipeline.extraction import hooks
from actlas.store import UsageError
from actlas.store.maintenance.verify import verify
from tests.extraction import extract_texts, plan_for
from tests.small_model import TEXTS

SITES = ("resid", "q", "mlp_out", "final_norm", "nll")


@pytest.fixture(scope="module")
def whole(small_model, tmp_path_factory):
    """All layers and depths of a run."""
    store = tmp_path_factory.mktemp("whole") / "store"
    return extract_texts(store, small_model, TEXTS, SITES, unit_tokens=45)[0].dataset().load()


def same(dataset, whole):
    for site, array in dataset.items():
        where = {dim: dataset[dim] for dim in ("layer", "depth") if dim in array.dims}
        np.testing.assert_array_equal(array.values, whole[site].sel(where).values)


def blocks_run(monkeypatch):
    """Count the hooks that are registered, by the layers or depths that they are of."""
    starts = Counter()
    real = hooks.started_at

    def started_at(model, architecture, start):
        starts[start.layer if start else 0] += 1
        return real(model, architecture, start)

    monkeypatch.setattr(hooks, "started_at", started_at)
    return starts


def test_layers_are_kept_alone_and_others_added_from_where_the_stream_is_stored(
    tmp_path, small_model, whole, monkeypatch
):
    kept = {"layers": (0, 2), "depths": (0, 2), "unit_tokens": 45}
    run, _ = extract_texts(tmp_path / "store", small_model, TEXTS, SITES, **kept)
    dataset = run.dataset()
    assert (dataset["layer"].values.tolist(), dataset["depth"].values.tolist()) == ([0, 2], [0, 2])
    same(dataset, whole)
    assert not plan_for(
        tmp_path / "store", small_model, TEXTS, SITES, layers=(2,), depths=(0,)
    ).missing
    starts = blocks_run(monkeypatch)
    more, added = extract_texts(tmp_path / "store", small_model, TEXTS, ("resid", "nll"))
    assert set(starts) == {0}  # depth 1 is needed, and the embeddings come before it
    assert (more.id, added.units) == (run.id, len(run.units))
    assert more.dataset("resid")["depth"].values.tolist() == [0, 1, 2, 3]
    starts.clear()
    last, _ = extract_texts(tmp_path / "store", small_model, TEXTS, ("k",), layers=(2,))
    assert set(starts) == {2}
    for each in (more, last):
        same(each.dataset(SITES), whole)
    assert [item.problems for item in verify(last) if item.problems] == []


@pytest.mark.slow
def test_sites_that_lack_different_layers_go_into_shards_of_their_own(tmp_path, small_model, whole):
    extract_texts(tmp_path / "store", small_model, TEXTS, ("q",), layers=(1,), unit_tokens=45)
    run, stats = extract_texts(tmp_path / "store", small_model, TEXTS, ("q", "mlp_out"))
    assert stats.units == len(run.units)
    assert len(run.commits) == 3 * len(run.units)
    same(run.dataset(), whole)


def test_a_variant_shares_the_layers_that_it_keeps(tmp_path, small_model):
    edits = (parse_edit("scale:site=mlp_out,layer=1,factor=2"),)
    stores = tmp_path / "part", tmp_path / "whole"
    found = []
    for store, kept in zip(stores, ({"layers": (0, 2), "depths": (1, 3)}, {}), strict=True):
        extract_texts(store, small_model, TEXTS, SITES, unit_tokens=45, **{**kept, "depths": None})
        found.append(extract_texts(store, small_model, TEXTS, SITES, edits=edits, **kept)[0])
    part, whole = found
    same(part.dataset(), whole.dataset().load())
    commit = part.commits[0]
    assert (commit.shared["q"].numbers, commit.sites["q"].layout.numbers) == ((0,), (2,))
    assert (commit.shared["resid"].numbers, commit.sites["resid"].layout.numbers) == ((1,), (3,))
    assert [item.problems for item in verify(part) if item.problems] == []


def test_a_baseline_with_fewer_depths_gets_them_before_its_variant(tmp_path, small_model):
    store, edits = tmp_path / "store", (parse_edit("skip:layer=2"),)
    extract_texts(store, small_model, TEXTS, ("resid",), depths=(0,), unit_tokens=45)
    plan = plan_for(store, small_model, TEXTS, ("resid",), depths=(3,), edits=edits)
    assert {part.numbers for _, parts in plan.baseline.missing for part in parts} == {(1, 2, 3)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"layers": (0, 3)}, "--layers has 3, expected layers 0 to 2"),
        ({"depths": (4, 9)}, "--depths has 4,9, expected depths 0 to 3"),
        ({"layers": ()}, "--layers is"),
        ({"depths": (2, 1)}, "--depths is"),
    ],
)
def test_layers_that_are_not_there_are_refused(given, said, tmp_path, small_model):
    with pytest.raises(UsageError, match=said):
        plan_for(tmp_path / "store", small_model, TEXTS, SITES, **given)

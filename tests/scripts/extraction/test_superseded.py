"""Shards of some tokens that nothing needs any more, and what commands say of damaged ones."""

import numpy as np
import pytest

import actlas
from actlas.analysis.data.tokens import TargetError
from actlas.scripts.commands.du import rows_of
from actlas.scripts.commands.show import site_row
from actlas.store import Store, UsageError
from actlas.store.io.workspace import workspace
from actlas.store.maintenance.disk_usage import usage
from actlas.store.maintenance.gc import collect, remove
from actlas.store.writing.export import export
from actlas.store.writing.pack import pack
from actlas.store.writing.selection import Selection
from tests.scripts.extraction.kept_runs import EDIT, ends, extracted, same
from tests.store.making import flip, problems

SITES = ["q", "resid"]


def paths(items):
    return sorted(item.path.name for item in items.garbage)


def files(run, tokens):
    return sorted(each.file for each in run.records if each.kept and each.kept.text == tokens)


@pytest.mark.parametrize("packed", [False, True])
def test_rows_that_are_stored_for_more_tokens_go(tmp_path, small_model, whole, packed):
    place = tmp_path / "store"
    run = extracted(place, small_model, "it", tokens="last", sites=["q"])
    extracted(place, small_model, "it", tokens="last", sites=["k"])
    if packed:
        pack(run)
    store = Store(place)
    assert collect(store).garbage == ()
    extracted(place, small_model, "it", tokens=["last", "her"], sites=["q"])
    extracted(place, small_model, "it", sites=["k"])
    run = store.run("it")
    last, before = files(run, "last"), usage(store)
    listed = collect(store, dry_run=True)
    assert (paths(listed), listed.problems) == (last, ())
    assert before.garbage == sum(item.nbytes for item in listed.garbage) > 0
    with workspace(run.folder):  # somebody writes
        assert collect(store).garbage == ()
    assert collect(store) == listed
    run.refresh()
    assert files(run, "last") == []
    assert usage(store).garbage == 0
    assert usage(store).runs[0].sites == before.runs[0].sites
    assert collect(store).garbage == ()
    assert not (run.folder / "dropped").exists()
    full = whole.dataset()
    same(run.dataset("q"), full)
    assert same(run.dataset("k"), full) == list(range(whole.tokens))
    assert run.dataset(["q", "k"]).attrs["tokens"] == "last or her"
    assert problems(run) == []
    extracted(place, small_model, "it", sites=["q"])
    assert len(collect(store).garbage) == len(run.units)
    run.refresh()
    assert not run.index.has_selections
    same(run.dataset(["q", "k"]), full)


def test_what_is_not_stored_for_more_tokens_in_every_unit_stays(tmp_path, small_model, whole):
    place = tmp_path / "store"
    extracted(place, small_model, "it", tokens="last", sites=SITES)
    extracted(place, small_model, "it", sites=["q"])  # resid of the last is nowhere else
    store = Store(place)
    assert collect(store).garbage == ()
    run = extracted(place, small_model, "it", sites=SITES)
    lost = next(each for each in run.records if each.kept is None and "resid" in each.sites)
    path = run.path(lost)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert collect(store).garbage == ()
    path.write_bytes(content)
    narrow = next(each for each in run.records if each.kept)
    flip(run.path(narrow), narrow.labels["kept"].offset)
    found = collect(store)
    assert found.garbage == ()
    assert len(found.problems) == 1
    assert "kept of unit" in found.problems[0]


def test_what_a_variant_shares_stays(tmp_path, small_model, whole):
    place = tmp_path / "store"
    extracted(place, small_model, "it", tokens="her", sites=SITES)
    variant = extracted(place, small_model, "edited", edits=EDIT, sites=SITES)
    before = variant.dataset(SITES).load()
    run = extracted(place, small_model, "it", sites=SITES)
    store = Store(place)
    shared = {record.file for record in run.records if record.kept}
    assert shared
    collect(store)
    run.refresh()
    variant = store.run("edited")
    assert problems(variant) == problems(run) == []
    assert same(variant.dataset(SITES), before) == list(range(before.sizes["token"]))
    remove(store, variant.id)
    collect(store)
    run.refresh()
    assert not run.index.has_selections


def test_du_says_what_records_know_where_a_shard_is_lost(last):
    store = Store(last.folder.parent.parent)
    last.path(last.commits[0]).unlink()
    names = [row[1] for run in usage(store).runs for row in rows_of(run)]
    assert {"q", "nll", "(records, labels)"} <= set(names)


def test_controls_that_are_not_kept_are_named(small_model, tmp_path):
    run = extracted(tmp_path / "store", small_model, "it", tokens="her", sites=["q", "k", "v"])
    with pytest.raises(TargetError, match="nor are those whose activations are not kept"):
        actlas.variance(run, target="her")


def test_show_names_the_tokens_of_a_run_that_is_not_complete(last):
    commits = sorted((last.folder / "commits").iterdir())
    commits[0].rename(last.folder / "lost")
    last.refresh()
    assert [site_row(last, site)[1] for site in ("nll", "q")] == [
        "token (last)",
        "layer 3, token (last), head 5, d_head 7",
    ]


def test_ends_of_sentences_are_not_counted_from_where_an_export_lacks_them(last, whole, tmp_path):
    every, _ = export(last, tmp_path / "last.h5", Selection(sites=("nll",)))
    groups = actlas.select_groups(every.dataset(), {"end": "position:-1"})
    assert len(groups["end"]) == len(ends(whole))
    firsts = np.flatnonzero(whole.dataset("nll")["position"].values < 3)
    some, _ = export(whole, tmp_path / "firsts.h5", Selection(sites=("nll",), tokens=firsts))
    with pytest.raises(UsageError, match="last tokens of 5 of 5 sentences are not in this export"):
        actlas.select_groups(some.dataset(), {"end": "position:-1"})
    assert len(actlas.select_groups(some.dataset(), {"second": "position:1"})["second"]) == 5

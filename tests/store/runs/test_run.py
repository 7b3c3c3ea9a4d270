import numpy as np
import pytest

from actlas.store import DamagedStore, IncompleteRun, Run, UsageError
from tests.store.making import Content, begin_run, make_run, shards, write_unit


def files(run) -> dict[str, tuple[bytes, int]]:
    paths = [path for path in run.folder.parents[1].rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def test_a_run_says_what_it_holds(stored, content):
    assert stored.name == "her"
    assert stored.sites == tuple(sorted(content.dtypes))
    assert (stored.sentences, stored.tokens) == (6, 16)
    assert stored.nbytes == sum(path.stat().st_size for path in shards(stored))
    assert (
        repr(stored)
        == f"<Run her {stored.id}: 6 sentences, 16 tokens, sites attn_out final_norm nll q resid>"
    )
    assert stored.dataset().attrs == {"run": stored.id, "name": "her"}


def test_all_labels_lie_on_token(stored):
    own = ("sentence", "position", "token_id", "char_start", "char_end", "special", "text")
    labels = dict.fromkeys((*own, "year", "score", "origin"), ("token",))
    found = {name: coordinate.dims for name, coordinate in stored.dataset().coords.items()}
    assert found == {**labels, "layer": ("layer",), "depth": ("depth",)}


def test_one_site_may_be_given_by_its_name(stored):
    assert list(stored.dataset("q").data_vars) == ["q"]
    assert stored.missing("q") == []
    with pytest.raises(UsageError, match=r"'re': .*known: attn_out, final_norm, nll, q, resid"):
        stored.dataset("re")


def test_sites_added_later_leave_the_old_files_alone(tmp_path, content):
    run = make_run(tmp_path / "store", content, "her", sites=("q", "nll"))
    before, old = files(run), run.dataset()
    for unit in content.plan:
        assert write_unit(run, content, unit.number, ("resid", "attn_out"))
        # equal work is done already
        assert not write_unit(run, content, unit.number, ("attn_out", "resid"))
    after = files(run)
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 2 * len(content.plan)
    assert run.sites == ("nll", "q")
    run.refresh()
    assert run.sites == ("attn_out", "nll", "q", "resid")
    for dataset in (old, run.dataset(), Run(run.folder).dataset(["resid", "q"])):
        for site in dataset.data_vars:
            np.testing.assert_array_equal(dataset[site].values, content.values[site])


def test_an_unfinished_run_says_how_to_finish_it(tmp_path, content):
    run = begin_run(tmp_path / "store", content, "her")
    with pytest.raises(
        IncompleteRun, match="run her lacks unit 0: run its `actlas extract` command again"
    ):
        run.dataset()
    write_unit(run, content, 1, ("q", "nll"))
    write_unit(run, content, 2, ("q",))
    run.refresh()
    assert run.sites == ()
    assert [(unit.number, sites) for unit, sites in run.missing(("q", "nll"))] == [
        (0, ("q", "nll")),
        (2, ("nll",)),
    ]
    with pytest.raises(
        IncompleteRun,
        match="run her lacks q in 1 of 3 units: run its `actlas extract` command again",
    ):
        run.dataset(["q"])
    with pytest.raises(IncompleteRun, match="run her lacks nll in 2 of 3 units"):
        run.dataset(["nll"])
    write_unit(run, content, 0, ("q",))
    run.refresh()
    assert run.missing(("q",)) == []
    np.testing.assert_array_equal(run.dataset()["q"].values, content.values["q"])


def test_an_unknown_site_is_wrong_usage(stored):
    with pytest.raises(
        UsageError,
        match=r"run her has no such site yet: .*'atn_out': did you mean attn_out\?.*--site atn_out",
    ) as found:
        stored.dataset(["q", "atn_out"])
    assert found.value.exit_code == 2


def test_sites_come_in_the_order_asked_for(stored):
    assert list(stored.dataset(["q", "attn_out", "nll"]).data_vars) == ["q", "attn_out", "nll"]


def test_a_site_without_blocks_brings_no_dimension_of_blocks(stored):
    assert set(stored.dataset(["nll"]).dims) == {"token"}


def test_text_columns_of_different_widths_are_joined(tmp_path):
    content = Content(units=((1,), (6, 6), (2,)), seed=3, dtypes={"nll": "float32"})
    run = make_run(tmp_path / "store", content)
    widths = {commit.labels["text"].shape[1] for commit in run.commits}
    assert len(widths) > 1
    assert tuple(run.sentence_labels()["text"].values) == content.labels.text


def test_a_run_opens_from_its_commits_alone(copied):
    for path in shards(copied):
        path.unlink()
    again = Run(copied.folder)
    assert again.sites == copied.sites
    assert again.nbytes == copied.nbytes
    with pytest.raises(DamagedStore, match="is missing: see `actlas verify`"):
        _ = again.labels

"""Runs that keep the activations of some tokens: everything goes on working, with equal numbers."""

import numpy as np
import pytest
from safetensors.numpy import load_file

import actlas
from actlas.store import Store, UsageError
from actlas.store.maintenance.repair import repair
from actlas.store.maintenance.verify import verify
from actlas.store.runs.exported import Exported
from actlas.store.writing.export import export
from actlas.store.writing.pack import pack
from actlas.store.writing.selection import Selection
from tests.scripts.extraction.kept_runs import EDIT, ends, extracted, rows_of, same
from tests.small_model import TEXTS
from tests.store.making import flip, problems
from tests.web import serving


@pytest.mark.parametrize(
    ("tokens", "wanted"),
    [
        ("last", lambda t: t["position:-1"]),
        ("LAST ", lambda t: t["position:-1"]),
        ("0 | 2-3,-1", lambda t: t["position:0"] | t["position:2-3"] | t["position:-1"]),
        (-2, lambda t: t["position:-2"]),
        ("before=her@-1", lambda t: t["her@-1"]),
        ("visitors", lambda t: t.word("visitors")),  # of one sentence, in several tokens
        (["last", "kind:b,her"], lambda t: t["position:-1"] | t["kind:b,her"]),
    ],
)
def test_rows_are_those_of_the_whole_run(tmp_path, small_model, whole, tokens, wanted):
    run = extracted(tmp_path / "store", small_model, "it", tokens=tokens)
    assert (run.id, run.sites) == (whole.id, whole.sites)
    rows = same(run.dataset(), whole.dataset())
    assert rows == sorted(wanted(_Table(whole)))
    assert (problems(run), run.missing(run.sites)) == ([], [])
    same(actlas.open(tmp_path / "store").run("it").dataset("q"), whole.dataset("q"))


class _Table:
    """Conditions on the whole run, one at a time."""

    def __init__(self, run):
        from actlas.analysis.groups.evaluation import TokenTable

        self.table = TokenTable(run.dataset("nll"))

    def __getitem__(self, text):
        from actlas.analysis.groups.grammar import parse_group

        return set(self.table.found(parse_group(f"x={text}")).last.tolist())

    def word(self, word):
        from actlas.analysis.groups.grammar import parse_group

        found = self.table.found(parse_group(f"x={word}"))
        ((first, end),) = zip(found.first.tolist(), found.last.tolist(), strict=True)
        assert end > first
        return set(range(first, end + 1))


@pytest.mark.slow
def test_more_tokens_are_added_and_never_mixed(tmp_path, small_model, whole):
    place = tmp_path / "store"
    extracted(place, small_model, "it", tokens="last", sites=["q", "resid"])
    run = extracted(place, small_model, "it", tokens=["last", "her"], sites=["q"])
    texts = {site: run.dataset(site).attrs["tokens"] for site in ("q", "resid")}
    assert texts == {"q": "last or her", "resid": "last"}
    assert same(run.dataset(["q", "resid"]), whole.dataset()) == ends(whole)  # what both have
    assert same(run.dataset("q", tokens="last"), whole.dataset()) == ends(whole)
    assert run.dataset("q").sizes["token"] > len(ends(whole))
    with pytest.raises(UsageError, match=r"no selection 'first': 'all', 'last or her', 'last'"):
        run.dataset("q", tokens="first")
    crossing = "tokens 'last or her', .*--tokens 'last' --tokens 'her' --tokens '0' keeps both"
    with pytest.raises(UsageError, match=crossing):
        extracted(place, small_model, "it", tokens="0", sites=["nll"])
    # fewer than are kept of other sites: those that are kept
    more = extracted(place, small_model, "it", tokens="her", sites=["k"])
    assert more.dataset("k").attrs["tokens"] == "last or her"
    before = len(more.commits)
    every = extracted(place, small_model, "it", sites=["q", "k"])
    assert len(every.commits) == before + len(every.units)
    assert same(every.dataset(["q", "k"]), whole.dataset()) == list(range(whole.tokens))
    assert same(every.dataset(["q", "resid"]), whole.dataset()) == ends(whole)
    again = extracted(place, small_model, "it", sites=["q"], tokens="last")  # all are there
    assert len(again.commits) == len(every.commits)
    pack(again)
    same(again.dataset(["q", "k"]), whole.dataset())
    same(again.dataset(["q", "resid"]), whole.dataset())
    assert problems(again) == []


def test_what_a_store_does(last, whole, small_model, tmp_path):
    full = whole.dataset()
    pack(last)
    assert same(last.dataset(), full) == ends(whole)
    assert len({commit.file for commit in last.commits}) == 1
    exported, _ = export(last, tmp_path / "it.h5", Selection(dtype="float16", sites=("q",)))
    assert exported.tokens == len(ends(whole))
    there = Exported(tmp_path / "it.h5").dataset()
    wanted = full["q"].isel(token=ends(whole)).values.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(there["q"].values, wanted)
    assert there["position"].values.tolist() == full["position"].values[ends(whole)].tolist()
    some, _ = export(last, tmp_path / "some.h5", Selection(tokens=np.array([1, 3])))
    np.testing.assert_array_equal(
        some.dataset()["nll"].values, full["nll"].values[np.array(ends(whole))[[1, 3]]]
    )
    np.testing.assert_array_equal(
        np.concatenate([last.rows(unit, "k", 2) for unit in last.units]),
        full["k"].sel(layer=2).values[ends(whole)],
    )
    assert "token (last)" in last._repr_html_()


def test_rows_go_to_torch_and_rsatoolbox(last, whole):
    rows = last.to_torch("mlp_out", 1, batch=2, where=last.dataset("q")["kind"] == "a")
    view = last.dataset("mlp_out")
    found = {int(token): row for batch, at in rows for row, token in zip(batch, at, strict=True)}
    assert sorted(found) == [0, 2, 4]
    for token, row in found.items():
        np.testing.assert_array_equal(row, view["mlp_out"].sel(layer=1).values[token])
    pytest.importorskip("rsatoolbox")
    made = last.to_rsatoolbox("nll")
    assert made.obs_descriptors["position"] == view["position"].values.tolist()


def test_damage_is_found_and_made_again(last, whole, small_model):
    commit = last.commits[1]
    flip(last.path(commit), commit.labels["kept"].offset)
    with pytest.raises(actlas.DamagedStore, match=r"labels were altered .*kept of unit 1"):
        Store(last.folder.parent.parent).run("it").dataset()
    (bad,) = [item for item in verify(last) if item.problems]
    assert "label kept was altered" in bad.problems[0]
    done = repair(last, verify(last))
    assert [item.unit for item in done.dropped] == [1]
    again = extracted(last.folder.parent.parent, small_model, "it", tokens="last")
    assert same(again.dataset(), whole.dataset()) == ends(whole)
    assert problems(again) == []


def test_variants_keep_the_tokens_of_their_baseline(tmp_path, small_model, whole):
    place = tmp_path / "store"
    edited = whole.folder.parent.parent
    full = Store(edited).run("it.edited").dataset()
    extracted(place, small_model, "it", tokens="her", sites=["resid", "nll"])
    variant = extracted(place, small_model, "edited", edits=EDIT, sites=["resid", "nll"])
    assert variant.dataset().attrs["tokens"] == "her"
    rows = same(variant.dataset(), full)
    assert same(Store(place).run("it").dataset(["nll"]), whole.dataset()) == rows
    assert Store(place).run("it").dataset("resid").sizes["token"] == whole.tokens  # it starts there
    assert [item.problems for item in verify(variant) if item.problems] == []
    result = actlas.downstream(variant, bootstrap=0)
    assert "read of 5 of 146 tokens, her" in result.findings[-1]
    pack(variant)
    same(variant.dataset(), full)
    assert problems(variant) == []


@pytest.mark.slow
def test_commands(last, actlas_command, whole, tmp_path, small_model):
    run = actlas_command
    done = run("show", "it", "--store", "store")
    assert "tokens     last: 5 of" in done.stdout
    assert "token (last)" in done.stdout
    assert "last" in run("du", "--store", "store").stdout
    for words in (["verify"], ["gc"], ["ls"], ["pack", "it"], ["index"]):
        done = run(*words, "--store", "store")
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    table = run("table", "it", "--store", "store").stdout.splitlines()
    assert len(table) == 1 + len(TEXTS)
    (tmp_path / "kinds.csv").write_text(
        "text,kind\n"
        + "".join(f'"{text}",{kind}\n' for text, kind in zip(TEXTS, "ccdcd", strict=True))
    )
    assert run("relabel", "it", "kinds.csv", "--store", "store").returncode == 0
    assert "".join(Store("store").run("it").dataset("nll")["kind"].values) == "ccdcd"
    out = ["--store", "store", "--format", "safetensors"]
    assert run("export", "it", "copy", *out).returncode == 0
    files = [load_file(path) for path in sorted((tmp_path / "copy").rglob("*.safetensors"))]
    assert {len(each["position"]) for each in files if "position" in each} == {len(TEXTS)}
    pytest.importorskip("aiohttp")
    with serving(tmp_path) as server:
        remote = Store(f"{server.url}/store").run("it").dataset(["q", "nll"])
        rows = rows_of(whole.dataset("q"), remote)
        np.testing.assert_array_equal(remote["q"].values, whole.dataset()["q"].values[:, rows])


@pytest.fixture
def actlas_command(actlas, monkeypatch, tmp_path):
    """The command; the fixture ``actlas`` has the name of the package."""
    monkeypatch.chdir(tmp_path)
    return actlas


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ("99", "position:99 matches none of the"),
        ("zebra", "the word 'zebra' occurs in none of the 5 sentences"),
        ("kind:c", "column kind never is 'c': it is 'a', 'b'"),
        ("colour:red", "unknown condition or column 'colour'"),
        ("her@x", "expected one number at the end"),
        ("last|her", "last stands alone: give --tokens several times"),
        ("last@-1,kind:a", "position:-1 in a group, or word:last for the word"),
        ("x=all", "all stands alone"),
        (["All", "last"], "--tokens all is every token"),
        ("x=", "expected"),
        ("3-1", "is not a range"),
        ("regex:\ta", "expected printable characters"),
        ("", "expected"),
        (["all", "last"], "--tokens all is every token"),
        ([], "expected such as 'last'"),
        (1.5, "expected a whole number"),
    ],
)
def test_bad_input_is_one_line_and_nothing_written(tmp_path, small_model, tokens, said):
    with pytest.raises(UsageError) as refused:
        extracted(tmp_path / "store", small_model, "it", tokens=tokens)
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert not (tmp_path / "store").exists()

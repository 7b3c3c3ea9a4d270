"""What users of xarray write on a view, against plain NumPy on the labels.

Right, or refused in a line.
"""

import copy
import pickle
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.store.errors import DamagedStore
from actlas.store.reading.sentence_index import SentenceError, SentenceIndex
from actlas.store.writing.export import export
from actlas.store.writing.selection import Selection
from tests.store.making import Content, make_run
from tests.store.reading.view.labelled import SITES, labelled

NAMES = st.sampled_from(
    ["kind", "index", "instance", "sentence_kind", "run", "name", "row", "of_token"]
)
VALUES = {
    "text": st.text("xyzé日", max_size=3),
    "integer": st.integers(-3, 3),
    "number": st.floats(-1, 1),
    "boolean": st.booleans(),
}


@st.composite
def runs(draw):
    """Return content with a column of any kind and name."""
    units = draw(
        st.lists(
            st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple), min_size=1, max_size=3
        )
    )
    count = sum(map(len, units))
    kind = draw(st.sampled_from(sorted(VALUES)))
    values = np.array(draw(st.lists(VALUES[kind], min_size=count, max_size=count)))
    name = draw(NAMES)
    column = values.astype(np.uint8) if kind == "boolean" else values
    return labelled({name: column}, units=tuple(units)), name


@pytest.mark.slow
@settings(max_examples=40)
@given(drawn=runs(), export_it=st.booleans())
def test_idioms_over_a_column_are_numpys(drawn, export_it, tmp_path_factory):
    content, name = drawn
    folder = tmp_path_factory.mktemp("any")
    made = make_run(folder / "store", content)
    view = (export(made, folder / "whole.h5")[0] if export_it else made).dataset()
    of_token = content.labels.columns[name][content.labels.token["sentence"]]
    values = content.values["resid"]
    for value in set(content.labels.columns[name].tolist()):
        mask = of_token == value
        kept = view["resid"].where(view[name] == value)
        assert kept.dims == ("depth", "token", "d_model")
        np.testing.assert_allclose(
            kept.isel(depth=1).mean(), values[1][mask].mean(), rtol=1e-5, atol=1e-6
        )
        np.testing.assert_array_equal(
            view.isel(token=view[name] == value)["resid"], values[:, mask]
        )
        mean = view["resid"].groupby(name).mean().sel({name: value})
        np.testing.assert_allclose(mean, values[:, mask].mean(1), rtol=1e-4, atol=1e-6)
    for number, size in enumerate(content.labels.row_size):
        part = view.sel(sentence=number)
        assert part.sizes["token"] == size
        np.testing.assert_array_equal(
            part["resid"], values[:, content.labels.token["sentence"] == number]
        )
        assert set(part["text"].values) == {content.labels.text[number]}
        assert set(part[name].values.tolist()) == {content.labels.columns[name][number].item()}


def test_there_is_one_axis_of_tokens(ds):
    assert set(ds.dims) == {"layer", "depth", "token", "head", "d_head", "d_model"}
    with pytest.raises(ValueError, match=r"Dimensions \{'sentence'\} do not exist"):
        ds.isel(sentence=0)
    assert isinstance(ds.xindexes["sentence"], SentenceIndex)


def test_groups_by_sentence_are_those_of_numpy(ds, content):
    sentence, values = content.labels.token["sentence"], content.values["resid"]
    expected = np.stack([values[:, sentence == number].mean(1) for number in range(6)], axis=1)
    np.testing.assert_allclose(
        ds["resid"].groupby("sentence").mean(), expected, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        ds.groupby("sentence").mean()["resid"].transpose("depth", ...),
        expected,
        rtol=1e-5,
        atol=1e-6,
    )
    nll = content.values["nll"]
    less = nll - np.array([nll[sentence == number].mean() for number in sentence])
    grouped = ds["nll"].groupby("sentence")
    np.testing.assert_allclose(grouped - grouped.mean(), less, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        ds["nll"] - grouped.mean().sel(sentence=ds["sentence"]), less, rtol=1e-5, atol=1e-6
    )


@given(data=st.data())
def test_any_sentences_can_be_selected_of_any_part(data, run, content):
    tokens = np.array(
        data.draw(st.permutations(range(16)).flatmap(lambda p: st.sampled_from([p, sorted(p)])))
    )
    tokens = tokens[: data.draw(st.integers(1, 16))]
    part = run.dataset("nll").isel(token=tokens)
    sentence, values = content.labels.token["sentence"][tokens], content.values["nll"][tokens]
    wanted = data.draw(st.lists(st.sampled_from(sorted(set(sentence.tolist()))), max_size=5))
    expected = [number for each in wanted for number in values[sentence == each]]
    np.testing.assert_array_equal(part.sel(sentence=wanted)["nll"], expected)
    low, high = sorted([data.draw(st.integers(-1, 7)), data.draw(st.integers(-1, 7))])
    inside = (sentence >= low) & (sentence <= high)
    np.testing.assert_array_equal(part.sel(sentence=slice(low, high))["nll"], values[inside])
    np.testing.assert_array_equal(
        part.sel(sentence=part["sentence"] > low)["nll"], values[sentence > low]
    )


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        (6, KeyError, "no token of sentence 6 here: there are those of 0 to 5"),
        (-1, KeyError, "no token of sentence -1"),
        ([0, 9, 7], KeyError, "no token of sentence 9, 7 here"),
        ("her", SentenceError, "got 'her', expected numbers of sentences"),
        ([[0, 1]], SentenceError, "expected numbers of sentences"),
        (slice(0, 4, 2), SentenceError, "slice with step 2"),
        (np.array([True, False]), SentenceError, r"mask of shape \(2,\), expected \(16,\)"),
        (
            xr.DataArray([0, 0, 1], dims="token"),
            SentenceError,
            r"array with dims \('token',\), expected a number",
        ),
    ],
)
def test_what_names_no_sentence_is_refused(ds, wanted, error, message):
    with pytest.raises(error, match=message):
        ds.sel(sentence=wanted)
    with pytest.raises(SentenceError, match="takes no method"):
        ds.sel(sentence=2, method="nearest")


def test_the_line_of_the_readme(ds, content):
    later = content.labels.token["position"] > 0
    np.testing.assert_array_equal(
        ds["resid"].sel(depth=2, token=ds["position"] > 0), content.values["resid"][2][later]
    )
    assert isinstance(ds.sel(depth=2, token=ds["position"] > 0).xindexes["sentence"], SentenceIndex)


def test_the_index_outlives_what_is_done_to_a_view(ds):
    def known(view, dim="token"):
        index = view.xindexes["sentence"]
        return isinstance(index, SentenceIndex) and (index.run, index.sentences, index.dim) == (
            ds.attrs["run"],
            "sentences of her",
            dim,
        )

    assert known(ds)
    assert known(pickle.loads(pickle.dumps(ds)))
    assert known(copy.deepcopy(ds))
    assert known(ds.isel(token=[3, 1]))
    assert known(ds.where(ds["position"] > 0, drop=True))
    assert known(ds.sortby("kind"))
    assert known(ds.rename(token="pair"), "pair")
    assert known(ds.load())
    assert known(ds.roll(token=1, roll_coords=True))
    assert known(next(group for _, group in ds.groupby("kind")))
    assert "sentence" not in ds.isel(token=0).xindexes
    doubled = ds["resid"].map_blocks(lambda block: block * 2)
    np.testing.assert_array_equal(doubled, ds["resid"].values * 2)


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_a_view_is_saved_and_read_again(engine, ds, tmp_path):
    ds.to_netcdf(tmp_path / "view.nc", engine=engine)
    with xr.open_dataset(tmp_path / "view.nc", engine=engine) as again:
        xr.testing.assert_equal(again.compute(), ds.compute())


def test_many_tokens_get_their_texts_and_columns_when_they_are_asked_for(run, ds, monkeypatch):
    monkeypatch.setattr("actlas.store.reading.view.AT_ONCE", 15)
    lazy = run.dataset()
    for name in ("text", "kind", "index"):
        assert not lazy[name].variable._in_memory
        assert ds[name].variable._in_memory
        np.testing.assert_array_equal(lazy[name][[9, 3, 3]].values, ds[name][[9, 3, 3]].values)
        assert lazy[name][5].item() == ds[name][5].item()
    np.testing.assert_array_equal(
        lazy["nll"].groupby("kind").mean(), ds["nll"].groupby("kind").mean()
    )
    assert pickle.loads(pickle.dumps(lazy)).compute().identical(ds.compute())
    assert np.shares_memory(lazy["sentence"].values, run.labels.token["sentence"])


def test_a_text_is_held_once(ds):
    assert len({id(text) for text in ds["text"].values}) == len(np.unique(ds["sentence"]))


def test_what_is_known_of_each_sentence_is_a_table(run, ds, content):
    table = run.sentence_labels()
    assert table.sizes == {"sentence": 6}
    assert set(table.data_vars) == {"text", "row_size", "kind", "index"}
    assert table["text"].values.tolist() == list(content.labels.text)
    np.testing.assert_array_equal(table["row_size"], content.labels.row_size)
    means = ds["nll"].groupby("sentence").mean().to_dataset().merge(table)
    assert means.sel(sentence=2)["kind"].item() == "x"
    np.testing.assert_array_equal(means["row_size"], content.labels.row_size)


@pytest.mark.parametrize("name", ["q", "token", "d_head", "position", "text"])
def test_a_column_with_the_name_of_something_else_is_refused(name, tmp_path):
    run = make_run(tmp_path / "store", Content(dtypes=SITES), "her")
    object.__setattr__(run.labels, "columns", {name: np.arange(6)})
    with pytest.raises(
        DamagedStore, match=f"run her has a label column '{name}', the name of a site, dim or label"
    ):
        run.dataset()


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
@pytest.mark.parametrize("tokens", [None, [0, 1, 5, 6, 9]])
def test_a_plainly_opened_export_is_right_or_refuses(engine, tokens, run, content, tmp_path):
    exported, _ = export(
        run, tmp_path / "part.nc", Selection(tokens=None if tokens is None else np.array(tokens))
    )
    with xr.open_dataset(exported.file, engine=engine) as opened:
        with pytest.raises(KeyError, match="kind"):
            opened["resid"].where(opened["kind"] == "x")
        with pytest.raises(KeyError, match="text"):
            opened["text"]
        with pytest.raises(ValueError, match=r"Dimensions \{'sentence'\} do not exist"):
            opened.isel(sentence=0)
        of_token = content.labels.token["sentence"]
        values = content.values["resid"]
        if tokens is not None:
            of_token, values = (
                np.unique(of_token[tokens], return_inverse=True)[1],
                values[:, tokens],
            )
        expected = [values[:, of_token == number].mean() for number in range(of_token.max() + 1)]
        found = opened["resid"].groupby("sentence").mean(["depth", "token", "d_model"])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        mask = opened["sentence"] == 1
        np.testing.assert_allclose(
            opened["resid"].where(mask).mean(), expected[1], rtol=1e-4, atol=1e-6
        )
        with suppress(KeyError):  # an older xarray wants an index, a newer one makes it
            found = opened.sel(sentence=2)["resid"]
            np.testing.assert_array_equal(np.squeeze(found), np.squeeze(values[:, of_token == 2]))
        characters = opened["sentence_kind"].values.tobytes().decode()
        ends = np.cumsum([0, *opened["sentence_kind_length"].values])
        kinds = np.array([characters[start:end] for start, end in pairwise(ends)], dtype=object)
        np.testing.assert_array_equal(
            kinds[opened["sentence"].values], exported.dataset()["kind"].values
        )

"""The tables of tokens and words, against plain loops over labels and values."""

import numpy as np
import pytest

from actlas.analysis.data.table import token_table, word_table
from actlas.analysis.data.word_boundaries import WordPattern, word_spans, words_of
from actlas.store import UsageError
from tests.store.making import Content, make_run


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    content = Content(dtypes={"resid": "float32", "nll": "float32"})
    return make_run(tmp_path_factory.mktemp("table") / "store", content, "it").dataset()


def test_tokens(view):
    frame = token_table(view, norms=True)
    assert len(frame) == view.sizes["token"]
    for name in ("sentence", "position", "token_id", "year", "origin", "text"):
        np.testing.assert_array_equal(frame[name], view[name].values)
    np.testing.assert_array_equal(frame["nll"], view["nll"])
    for depth in range(4):
        wanted = np.linalg.norm(view["resid"].values[depth].astype(np.float64), axis=-1)
        np.testing.assert_allclose(frame[f"norm.{depth}"], wanted, rtol=1e-12)
    for row in frame.itertuples():
        assert row.token == row.text[row.char_start : row.char_end]


def sentence_view(text, cuts, losses):
    """Return labels of one sentence whose tokens end at ``cuts``."""
    import xarray as xr

    count = len(cuts)
    start = [0, *cuts[:-1]]
    token = {
        "sentence": np.zeros(count, np.int32),
        "position": np.arange(count, dtype=np.int32),
        "token_id": np.zeros(count, np.int32),
        "char_start": np.array(start, np.int32),
        "char_end": np.array(cuts, np.int32),
        "special": np.zeros(count, bool),
        "text": np.array([text] * count, dtype=object),
        "use": np.array(["a"] * count, dtype=object),
    }
    labels = {name: ("token", values) for name, values in token.items()}
    return xr.Dataset({"nll": ("token", np.array(losses, np.float32))}, labels)


def test_a_word_is_the_sum_of_its_tokens():
    view = sentence_view("The cup of tea.", [3, 7, 9, 13, 14, 15], [np.nan, 1, 2, 4, 8, 16])
    frame = word_table(view)
    assert frame["characters"].tolist() == ["The", "cup", "of", "tea"]
    assert frame["tokens"].tolist() == [1, 1, 2, 2]
    np.testing.assert_array_equal(frame["surprisal"], [np.nan, 1, 6, 12])
    assert frame["shared"].tolist() == [False, False, True, True]
    assert frame["word"].tolist() == [0, 1, 2, 3]
    assert frame["use"].tolist() == ["a"] * 4
    assert "nll" not in frame


def test_no_loss_no_surprisal():
    view = sentence_view("a b", [1, 3], [np.nan, 1]).drop_vars("nll")
    assert "surprisal" not in word_table(view)
    assert "nll" not in token_table(view)
    with pytest.raises(UsageError, match="--norms needs the site resid"):
        token_table(view, norms=True)


TEXTS = ["The cup, hers.", "can't 3.14 naïve", "日本 Zürich's 🙂", "", "🇩🇪🇫🇷 her", "क कि a_b"]


@pytest.mark.parametrize("text", TEXTS)
def test_spans_are_those_of_the_word_search(text):
    spans = word_spans(text)
    assert [text[slice(*span)] for span in spans] == words_of(text)
    for start, end in spans:
        assert (start, end) in WordPattern(text[start:end], case=True).spans(text)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.store.labels.labels import TOKEN_LABELS, Labels, bytes_to_text, text_to_bytes
from tests.store.making import contents

texts = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    min_size=1,
    max_size=6,
)


@given(texts=texts)
def test_texts_survive_as_bytes(texts):
    characters = text_to_bytes(tuple(texts))
    assert characters.dtype == np.dtype("S1")
    assert characters.shape == (len(texts), max(1, *(len(text.encode()) for text in texts), 1))
    assert bytes_to_text(characters) == tuple(texts)


@given(content=contents())
def test_the_units_labels_are_those_of_the_run(content):
    whole = content.labels
    parts = [whole.sentences(unit.first, unit.sentences) for unit in content.plan]
    assert [part.tokens for part in parts] == [unit.tokens for unit in content.plan]
    assert sum((part.text for part in parts), ()) == whole.text
    for name, array in whole.token.items():
        np.testing.assert_array_equal(np.concatenate([part.token[name] for part in parts]), array)
    for name, column in whole.columns.items():
        np.testing.assert_array_equal(
            np.concatenate([part.columns[name] for part in parts]), column
        )


def test_labels_of_different_lengths_are_refused(content):
    labels = content.labels
    short = {name: array[1:] for name, array in labels.token.items()}
    with pytest.raises(ValueError, match=f"do not all have {labels.tokens} tokens"):
        Labels(short, labels.row_size, labels.text, {})
    with pytest.raises(ValueError, match=f"do not all have {len(labels.text)} sentences"):
        Labels(labels.token, labels.row_size, labels.text, {"year": np.arange(2)})
    with pytest.raises(ValueError, match=r"expected .*'token_id'"):
        Labels({"position": short["position"]}, labels.row_size, labels.text, {})


def test_the_text_of_a_token_is_its_characters_of_its_sentence():
    rows = np.array([2, 1], dtype=np.int32)
    spans = {"char_start": [0, 4, 0], "char_end": [4, 6, 2]}
    token = {name: np.array(spans.get(name, [0, 0, 0]), dtype=np.int32) for name in TOKEN_LABELS}
    labels = Labels(token, rows, ("naïve é", "日本"), {})
    assert [labels.token_text(index) for index in range(3)] == ["naïv", "e ", "日本"]

"""The sentences of any part of a view, and what is found by their numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.analysis.data.sentences import sentences_of, texts_of
from actlas.analysis.data.tokens import Target, select_tokens
from actlas.analysis.groups import select_groups
from actlas.store.errors import UsageError
from tests import strategies


@given(labels=strategies.labelled_sentences(), data=st.data())
def test_starts_numbers_and_texts_are_those_of_the_tokens_that_are_there(labels, data):
    count = labels.sizes["token"]
    part = labels.isel(token=sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1))))
    found, of_token = sentences_of(part), part["sentence"].values
    numbers, sizes = np.unique(of_token, return_counts=True)
    np.testing.assert_array_equal(found.numbers, numbers)
    np.testing.assert_array_equal(found.sizes, sizes)
    np.testing.assert_array_equal(np.repeat(found.numbers, found.sizes), of_token)
    np.testing.assert_array_equal(np.repeat(list(texts_of(part)), sizes), part["text"].values)


def test_tokens_of_a_sentence_that_are_scattered_are_refused():
    labels = strategies.labels(["we saw her", "he saw her"])
    with pytest.raises(UsageError, match="do not follow each other: sort them"):
        sentences_of(labels.isel(token=[0, 3, 1]))
    mixed = labels.isel(token=[5, 0, 4, 2, 1, 3])
    selection = select_tokens(mixed.sortby(["sentence", "position"]), Target("her"))
    assert selection.sentence.tolist() == [0, 1]


def test_pairs_and_sentences_left_out_keep_their_numbers_in_a_part():
    labels = strategies.labels(
        ["nobody", "we saw her", "nobody came", "he saw her", "she saw him there"]
    )
    part = labels.isel(token=labels["sentence"].values > 0)
    selection = select_tokens(part, Target("her"))
    assert selection.sentence.tolist() == [1, 3]
    assert [item.sentence for item in selection.left_out] == [2, 4]
    assert part["sentence"].values[selection.target_token].tolist() == [1, 3]


def test_groups_follow_a_column_that_differs_within_a_sentence():
    labels = strategies.labels(["we saw her", "he saw her too"])
    labels = labels.assign_coords(
        role=("token", np.array(["a", "b", "a", "a", "b", "b", "a"], dtype=object))
    )
    groups = select_groups(labels, by="role")
    assert groups["role=a"].tolist() == [2, 6]  # first tokens are a group of their own
    assert groups["role=b"].tolist() == [1, 4, 5]
    with pytest.raises(UsageError, match=r"'text'.*known: role"):
        select_groups(labels, by="text")


def test_a_number_that_is_none_is_a_group_too():
    labels = strategies.labels(["we saw her", "he saw her"] * 2)
    groups = select_groups(
        labels.assign_coords(score=("token", np.tile(np.repeat([0.5, np.nan], 3), 2))), by="score"
    )
    assert {name: tokens.tolist() for name, tokens in groups.items() if "score" in name} == {
        "score=0.5": [1, 2, 7, 8],
        "score=nan": [4, 5, 10, 11],
    }

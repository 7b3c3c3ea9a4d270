"""Spans of characters give tokens the labels that a plain Python reading of the rule gives."""

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.pipeline.token_labels.join import token_labels
from actlas.pipeline.token_labels.spans import NO_LABEL, Coded, Spans
from actlas.store.errors import InputError
from actlas.store.labels.labels import Labels

VALUES = ("NOUN", "VERB", "ADP")


def labels_of(texts, tokens):
    """Return labels of sentences of so many characters; tokens: (start, end) of each sentence."""
    sizes = np.array([len(each) for each in tokens], dtype=np.int32)
    pairs = np.array([pair for each in tokens for pair in each], dtype=np.int32).reshape(-1, 2)
    token = {
        "sentence": np.repeat(np.arange(len(tokens), dtype=np.int32), sizes),
        "position": np.zeros(len(pairs), dtype=np.int32),
        "token_id": np.zeros(len(pairs), dtype=np.int32),
        "char_start": pairs[:, 0].copy(),
        "char_end": pairs[:, 1].copy(),
    }
    return Labels(token, sizes, tuple("x" * length for length in texts), {})


def spans_of(rows):
    """Return spans of rows (sentence, start, end, code), of the label ``pos``."""
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    lines = np.arange(2, 2 + len(rows))
    return Spans("pos.csv", lines, *columns[:3], {"pos": Coded(VALUES, columns[3])})


@st.composite
def cases(draw):
    """Texts, tokens that overlap as those of split characters do, and spans in any order."""
    texts = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    tokens, rows = [], []
    for sentence, length in enumerate(texts):
        ends = st.tuples(st.integers(0, length), st.integers(0, length)).map(sorted)
        tokens.append(sorted(map(tuple, draw(st.lists(ends, max_size=5)))))
        spans = draw(st.lists(ends.filter(lambda pair: pair[0] < pair[1]), max_size=4))
        codes = st.integers(NO_LABEL, len(VALUES) - 1)
        rows += [(sentence, *span, draw(codes)) for span in spans]
    return texts, tokens, draw(st.permutations(rows))


def expected(sentence, token, rows):
    """Return the code of a token: None where two labels claim a character of the sentence."""
    here = sorted(row[1:] for row in rows if row[0] == sentence and row[3] != NO_LABEL)
    merged = []  # overlapping spans of one label count as one
    for start, end, code in here:
        if merged and start < merged[-1][1]:
            if merged[-1][2] != code:
                return None
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end, code])
    shared = [len(set(range(*token)) & set(range(*span[:2]))) for span in merged]
    if not any(shared):
        return NO_LABEL
    return merged[shared.index(max(shared))][2]


@given(case=cases())
def test_a_token_takes_the_label_of_the_largest_overlap(case):
    texts, tokens, rows = case
    wanted = [
        expected(sentence, token, rows) for sentence, each in enumerate(tokens) for token in each
    ]
    every = [expected(sentence, (0, 0), rows) for sentence in range(len(texts))]
    if None in every:
        with pytest.raises(InputError, match=r"^pos\.csv, line \d+: pos '.*' of line \d+:"):
            token_labels(labels_of(texts, tokens), spans_of(rows))
        return
    found = token_labels(labels_of(texts, tokens), spans_of(rows))
    values = ["" if code == NO_LABEL else VALUES[code] for code in wanted]
    assert found.columns["pos"].tolist() == values
    unmatched = 0
    for sentence, start, end, _ in rows:
        covered = [set(range(*token)) & set(range(start, end)) for token in tokens[sentence]]
        unmatched += not any(covered)
    monotone = all(one[1] <= other[1] for each in tokens for one, other in pairwise(each))
    if monotone:
        assert found.unmatched == unmatched


def test_a_span_of_a_word_meets_the_token_with_the_space_before_it():
    labels = labels_of([9], [[(0, 0), (0, 3), (3, 7), (7, 9)]])
    found = token_labels(labels, spans_of([(0, 4, 7, 0)]))
    assert found.columns["pos"].tolist() == ["", "", "NOUN", ""]
    assert found.notes == ()
    assert token_labels(labels_of([9], [[(0, 3)]]), spans_of([(0, 4, 7, 0)])).notes == (
        "1 of 1 spans of labels cover no token",
    )


def test_numbers_are_numbers_and_nan_where_a_token_has_none():
    labels = labels_of([4], [[(0, 2), (2, 4)]])
    spans = spans_of([(0, 0, 2, 0), (0, 2, 4, 1)])
    numbered = Spans(*list(vars(spans).values())[:5], {"n": Coded(("3", "4"), np.array([0, 1]))})
    found = token_labels(labels, numbered).columns["n"]
    assert (found.dtype, found.tolist()) == (np.int64, [3, 4])
    gap = Spans(*list(vars(spans).values())[:5], {"n": Coded(("3",), np.array([0, NO_LABEL]))})
    np.testing.assert_array_equal(token_labels(labels, gap).columns["n"], [3, np.nan])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((2, 0, 1, 0), "line 3: sentence 2, expected one from 0 to 1"),
        ((0, 3, 3, 0), "line 3: char_start 3 and char_end 3: expected a span of 1 character"),
        ((0, 4, 3, 0), "line 3: char_start 4 and char_end 3"),
        ((1, 0, 6, 0), "line 3: char_end 6, but sentence 1 has 5 characters"),
        ((0, 1, 3, 1), "line 3: pos 'VERB' of characters 1 to 3 overlaps 'NOUN' of line 2"),
    ],
)
def test_a_span_that_cannot_be_meant_is_named(row, message):
    labels = labels_of([9, 5], [[(0, 9)], [(0, 5)]])
    with pytest.raises(InputError, match=message):
        token_labels(labels, spans_of([(0, 0, 2, 0), row]))


@pytest.mark.slow
def test_a_million_spans_take_seconds():
    count = 100_000
    tokens = [[(place, place + 5) for place in range(0, 50, 5)]] * count
    labels = labels_of([50] * count, tokens)
    sentence, place = (part.ravel() for part in np.mgrid[0:count, 0:10])
    places = (sentence, place * 5, place * 5 + 5)
    spans = Spans("x", sentence, *places, {"pos": Coded(VALUES, (sentence + place) % 3)})
    start = time.process_time()
    found = token_labels(labels, spans)
    assert time.process_time() - start < 30  # about 1 s; by a loop over texts it was minutes
    assert found.columns["pos"][:3].tolist() == list(VALUES)

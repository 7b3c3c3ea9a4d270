"""The tokens of a word: which of a sentence's tokens a word of its text consists of."""

import unicodedata

import numpy as np
import pytest
import xarray as xr

from actlas.analysis.data.tokens import Target, select_tokens
from actlas.analysis.data.word_boundaries import (
    key_of,
)
from actlas.analysis.data.words import TargetError, find_words
from tests.analysis.data.spellings import APOSTROPHES, NFD


def labels(texts, spans, positions=None):
    """Labels of ``texts`` whose tokens have ``spans``, a list for each text."""
    positions = positions or [range(len(each)) for each in spans]
    flat = np.array([span for each in spans for span in each], dtype=np.int32).reshape(-1, 2)
    counts = [len(each) for each in spans]
    token = {
        "sentence": np.repeat(np.arange(len(texts)), counts),
        "text": np.repeat(np.array(texts, dtype=object), counts),
        "position": np.array([place for each in positions for place in each]),
        "char_start": flat[:, 0],
        "char_end": flat[:, 1],
    }
    coords = {name: ("token", values) for name, values in token.items()}
    return xr.Dataset(coords=coords)


def tokens_of(dataset, word):
    return {
        sentence: [each.tolist() for each in found]
        for sentence, found in find_words(dataset, word).found.items()
    }


@pytest.mark.parametrize(
    ("text", "spans", "word", "tokens"),
    [
        (
            "We saw her.",
            [(0, 2), (2, 6), (6, 10), (10, 11)],
            "her",
            [2],
        ),  # byte-level, the space before in the token
        ("We saw her.", [(0, 2), (3, 6), (7, 10), (10, 11)], "her", [2]),  # trimmed, or WordPiece
        (
            "We saw her.",
            [(0, 0), (0, 2), (2, 6), (6, 10), (10, 11)],
            "We",
            [1],
        ),  # BOS is part of no word
        ("We saw her.", [(0, 0), (0, 2), (2, 6), (6, 10), (10, 11), (11, 11)], ".", [4]),
        (
            "We saw",
            [(0, 1), (0, 2), (2, 3), (3, 6)],
            "We",
            [0, 1],
        ),  # ▁ split off: it overlaps what follows
        ("We saw", [(0, 0), (0, 2), (2, 3), (3, 6)], "saw", [3]),
        (
            "x 日本",
            [(0, 1), (1, 2), (2, 3), (2, 3), (2, 3), (3, 4), (3, 4)],
            "日",
            [2, 3, 4],
        ),  # the bytes of a character
        ("x 日本", [(0, 1), (1, 2), (2, 3), (2, 3), (2, 3), (3, 4), (3, 4)], "本", [5, 6]),
        ("x 日本", [(0, 1), (1, 3), (2, 3), (3, 4)], "日", [1, 2]),
        ("her\n\nher", [(0, 3), (3, 5), (5, 8)], "her", [0]),
        ("a cafe\u0301 b", [(0, 1), (2, 6), (8, 9)], "café", [1]),  # the accent was stripped
        ("a \u0301cafe b", [(0, 1), (3, 7), (8, 9)], "cafe", [1]),
        ("a \u202acafé\u202c", [(0, 1), (3, 7)], "café", [1]),
    ],
)
def test_tokens_of_a_word(text, spans, word, tokens):
    assert tokens_of(labels([text], [spans]), word)[0][0] == tokens


def test_a_word_whose_last_character_gives_no_token_is_whole():
    """A tokenizer may drop characters.

    A character without a token does not mean that one is missing.
    """
    text = "we met hex there"
    spans = [(0, 2), (3, 6), (7, 9), (11, 16)]
    assert tokens_of(labels([text], [spans]), "hex") == {0: [[2]]}
    part = labels([text], [[spans[0], spans[2]]], [[0, 2]])  # as in an export
    assert find_words(part, "hex").clipped == {0}
    part = labels([text], [[spans[0], spans[3]]], [[0, 3]])
    assert find_words(part, "met").clipped == {0}


def test_the_nearest_words_are_words_by_the_same_rules():
    dataset = labels(list(NFD), [[(0, len(text))] for text in NFD])
    with pytest.raises(TargetError, match=r"near to it are café, cafe$"):
        select_tokens(dataset, Target("cafés"))
    with pytest.raises(TargetError, match="near to it are John's"):
        select_tokens(labels(list(APOSTROPHES), [[(0, 1)]] * len(APOSTROPHES)), Target("John"))


def test_a_word_of_a_megabyte_is_no_hang():
    with pytest.raises(TargetError) as caught:
        select_tokens(labels(["we saw her"] * 3, [[(0, 1)]] * 3), Target("ab" * (1 << 19)))
    assert len(str(caught.value)) < 300


def plain(text):
    """Letters without accents: some tokenizers drop these."""
    return "".join(each for each in key_of(text, False) if not unicodedata.combining(each))


@pytest.mark.parametrize(
    "name",
    ["plain", "untrimmed", "no_processor", "word_piece", "unigram", "llama", "llama_generic_class"],
)
def test_the_same_words_are_found_whatever_the_tokenizer(tmp_path, name):
    from actlas.pipeline.inputs.tokenizer import open_tokenizer
    from tests.pipeline.inputs.tokenizer_folders import FOLDERS

    texts = ["Her cat saw her.", "it's her café, her  coat", "她喝了她的茶", "cafe\u0301 café cafe"]
    FOLDERS[name](tmp_path)
    with open_tokenizer(tmp_path, str(tmp_path)) as tokenizer:
        encoded = tokenizer.encode(texts)
    spans = [part.tolist() for part in np.split(encoded.spans, np.cumsum(encoded.row_size)[:-1])]
    dataset = labels(texts, spans)
    starts = dataset["char_start"].values
    ends = dataset["char_end"].values
    for word, counts in {
        "her": [2, 2, 0, 0],
        "café": [0, 1, 0, 2],
        "她": [0, 0, 2, 0],
        "茶": [0, 0, 1, 0],
    }.items():
        words = find_words(dataset, word)
        assert [len(words.found.get(sentence, [])) for sentence in range(4)] == counts
        assert not words.clipped
        for sentence, found in words.found.items():
            for tokens in found:
                covered = texts[sentence][starts[tokens].min() : ends[tokens].max()]
                assert plain(word) in plain(covered)

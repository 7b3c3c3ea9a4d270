"""A word is found where Unicode's rules say it is, however it is written, and covers its tokens."""

import re
import time
import unicodedata

import numpy as np
import pytest
import regex
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.analysis.data.tokens import Target, select_tokens
from actlas.analysis.data.word_boundaries import (
    _CLUSTER,
    _SEGMENT,
    WordPattern,
    _is_boundary,
    begins,
    key_of,
    words_of,
)
from actlas.analysis.data.words import TargetError, find_words

NFD = (
    "We met at the cafe\u0301 by the river.",
    "We met at the cafe by the river.",
    "They closed the cafe\u0301 after rain.",
    "They closed the cafe after rain.",
    "Le café est fermé.",
)
HINDI = ("मैं किताब पढ़ता हूँ और कि वह आता है", "वह कहता है कि किताब अच्छी है", "राम ने कहा कि वह आएगा")
CHINESE = ("她喝了她的茶。", "她给了她一杯茶。", "护士说她的杯子满了。")
PUNCTUATION = (
    "She drank her tea, slowly. He left.",
    "He gave her tea, gladly. She sat.",
    "We saw her tea, cold. It stood.",
)
APOSTROPHES = (
    "She can swim in the lake.",
    "She can't swim in the lake.",
    "We can go to the lake.",
    "We can’t go to the lake.",
    "It is hers and it's her book.",
    "The dog wagged its tail, it's happy.",
    "John's book is John's.",
)


@pytest.mark.parametrize(
    ("texts", "word", "counts"),
    [
        (NFD, "cafe", [0, 1, 0, 1, 0]),
        (NFD, "café", [1, 0, 1, 0, 1]),
        (NFD, "cafe\u0301", [1, 0, 1, 0, 1]),
        (NFD, "CAFÉ", [1, 0, 1, 0, 1]),
        (NFD, "e", [0, 0, 0, 0, 0]),
        (HINDI, "क", [0, 0, 0]),
        (HINDI, "कि", [1, 1, 1]),
        (HINDI, "किताब", [1, 1, 0]),
        (CHINESE, "她", [2, 2, 1]),
        (CHINESE, "她的", [1, 0, 1]),
        (CHINESE, "杯子", [0, 0, 1]),
        (CHINESE, "。", [1, 1, 1]),
        (PUNCTUATION, ",", [1, 1, 1]),
        (PUNCTUATION, ".", [2, 2, 2]),
        (PUNCTUATION, "tea,", [1, 1, 1]),
        (PUNCTUATION, "her tea", [1, 1, 1]),
        (APOSTROPHES, "can", [1, 0, 1, 0, 0, 0, 0]),
        (APOSTROPHES, "can't", [0, 1, 0, 0, 0, 0, 0]),
        (APOSTROPHES, "it", [0, 0, 0, 0, 1, 0, 0]),
        (APOSTROPHES, "John", [0, 0, 0, 0, 0, 0, 0]),
        (APOSTROPHES, "John's", [0, 0, 0, 0, 0, 0, 2]),
        (APOSTROPHES, "'", [0, 0, 0, 0, 0, 0, 0]),
        (
            ("'her'", '"her"', "her-self", "_her_", "her_self", "her2", "(her)", "her…"),
            "her",
            [1, 1, 1, 0, 0, 0, 1, 1],
        ),
        (("Straße", "STRASSE", "strasse", "STRAẞE", "Strase"), "straße", [1, 1, 1, 1, 0]),
        (("Straße", "STRASSE"), "ss", [0, 0]),
        (("ΟΔΥΣΣΕΥΣ", "Οδυσσεύς", "οδυσσευς"), "οδυσσευσ", [1, 0, 1]),
        (("İstanbul", "istanbul", "I\u0307stanbul"), "İstanbul", [1, 0, 1]),
        (("the ﬁne day", "the fine day"), "fine", [1, 1]),
        (("👩‍👩‍👧 👩", "👍🏽 👍", "🇩🇪🇫🇷 🇫🇷"), "👩", [1, 0, 0]),
        (("👍🏽 👍", "👍👍"), "👍", [1, 2]),
        (("🇩🇪🇫🇷 🇫🇷", "🇪🇫"), "🇫🇷", [2, 0]),
        (("𝒜𝓁𝓅 𝒜", "a𝒜"), "𝒜", [1, 0]),
        (("שלום עולם", "ושלום"), "שלום", [1, 0]),
        (("مرحبا بالعالم", "مَرحبا"), "مرحبا", [1, 0]),
        (("สวัสดีครับ", "ทำ", "ดี"), "ดี", [1, 0, 1]),
        (("ท", "ทำ"), "ท", [1, 0]),
        (("カフェテリア", "カフェ", "ひらがな"), "カフェ", [0, 1, 0]),
        (("ひらがな",), "ら", [1]),
        (("한국어", "\u1112\u1161\u11ab국어", "한"), "한국어", [1, 1, 0]),
        (("3.14 and 3", "1,000", "3."), "3", [1, 0, 1]),
        (("a\r\nb", "a\nb"), "\n", [0, 1]),
        (("\u200fשלום\u200f עולם", "\u202aשלום\u202c"), "שלום", [1, 1]),
        (("naïve her é her", "é", "her\u0301 her"), "her", [2, 0, 1]),
    ],
)
def test_what_is_a_word(texts, word, counts):
    pattern = WordPattern(word)
    assert [len(pattern.spans(text)) for text in texts] == counts
    for form in ("NFC", "NFD"):
        if unicodedata.normalize(form, word) == word or word == unicodedata.normalize("NFC", word):
            other = WordPattern(unicodedata.normalize(form, word))
            assert [len(other.spans(text)) for text in texts] == counts


letters = st.sampled_from(
    "aAeE\u0301\u0327éÉßſsS'’.,:-_ "
    "3\r\n她喝くラคำ\u0e33कि\u094d\u200d👩🏽🇩🇪𝒜ﬁİı\u0307שم\u0600한\u1112\u1161\u11ab\u00ad\u0345ώ"
)
texts = st.text(st.one_of(letters, st.characters(exclude_categories=["Cs"])), max_size=25)


def clusters(text):
    """Places where grapheme clusters begin or end."""
    return {0, *(match.end() for match in _CLUSTER.finditer(text))}


def boundaries(text):
    """Places between what the rules join, by the same rules in one pass over the whole text."""
    return {0, *(match.end() for match in _SEGMENT.finditer(text))}


@settings(max_examples=400)
@given(text=texts, case=st.booleans(), data=st.data())
def test_a_span_is_the_word_whole_and_all_such_spans_are_found(text, case, data):
    if data.draw(st.booleans()) and text:
        start = data.draw(st.integers(0, len(text) - 1))
        word = text[start : data.draw(st.integers(start + 1, len(text)))]
        word = unicodedata.normalize(data.draw(st.sampled_from(["NFC", "NFD"])), word)
    else:
        word = data.draw(texts)
    if not word.strip():
        return
    spans = WordPattern(word, case).spans(text)
    starts = [at for at in sorted(clusters(text)) if begins(text, at)]
    ends = [
        end
        for end in clusters(text)
        if end + len(regex.match(r"\p{WB=Format}*", text[end:])[0]) in boundaries(text)
    ]
    equal = [
        (a, b)
        for a in starts
        for b in sorted(ends)
        if a < b and key_of(text[a:b], case) == key_of(word, case)
    ]
    chosen, last = [], 0
    for start, end in equal:  # in order, without overlap
        if start >= last:
            chosen.append((start, end))
            last = end
    assert spans == chosen


@given(texts)
def test_clusters_fold_one_by_one(text):
    """What finding a word in the folded text stands on."""
    for case in (True, False):
        assert "".join(key_of(cluster, case) for cluster in regex.findall(r"\X", text)) == key_of(
            text, case
        )


@pytest.mark.parametrize(
    "segments",
    [
        ["'", "and", " ", "'", "I", "'"],  # a vowel behind an apostrophe is no exception here
        ["cafe\u0301's", " ", "cafe\u0301"],  # nor is what was decomposed
        ["café's", " ", "a.b", ".", " ", "3.14", ",", " ", "1,5"],
        ["ש״מ", " ", "ש׳", " ", '"', "ש", '"'],
        ["🇩🇪", "🇫🇷", "🇩", "x"],
        ["🇩\u200d🇪", "🇫🇷"],
        ["👩\u200d❤\ufe0f\u200d👩", "👍🏽", "a\u200d👩"],
        ["カ゛フェ", "は", "\r\n", "\n", "\u0301", "a"],
        ["x_y_", " ", "_3", "  \u3000 ", "\u00a0", "a"],
        ["x\u00ad\u200fy", " \u200f", "z\u200f"],
    ],
)
def test_segments_by_the_rules_of_unicode(segments):
    assert _SEGMENT.findall("".join(segments)) == segments


@given(texts)
def test_a_boundary_is_one_from_wherever_it_is_asked(text):
    assert {place for place in range(len(text) + 1) if _is_boundary(text, place)} == boundaries(
        text
    )


@given(
    st.lists(
        st.sampled_from(
            [
                "her",
                "Her",
                "hers",
                "cat",
                "x_y",
                "it",
                "3",
                " ",
                "  ",
                "-",
                "!",
                "?",
                "(",
                '"',
                "\t",
            ]
        ),
        max_size=12,
    ),
    st.sampled_from(["her", "HER", "cat", "x_y", "3", "!", "cat her"]),
    st.booleans(),
)
def test_ascii_without_apostrophes_and_points_is_found_as_naively(parts, word, case):
    text = "".join(parts)
    guard = (r"(?<!\w)", r"(?!\w)") if re.match(r"\w", word) else ("", "")
    naive = re.compile(guard[0] + re.escape(word) + guard[1], 0 if case else re.IGNORECASE)
    assert WordPattern(word, case).spans(text) == [match.span() for match in naive.finditer(text)]


def joined(text, at):
    """Whether the rules for ASCII (UAX #29, WB3 to WB13b) forbid a break at ``at``.

    The rules are applied by hand, character by character.
    """
    before, after = text[at - 1], text[at]
    two_before, two_after = text[at - 2 : at - 1], text[at + 1 : at + 2]
    word = "_0123456789" + "abcdefghijklmnopqrstuvwxyz".swapcase() + "abcdefghijklmnopqrstuvwxyz"
    if before in word and after in word:
        return True
    for kind, middle in ((str.isalpha, "'.:"), (str.isdigit, "'.,;")):
        if kind(before) and after in middle and two_after and kind(two_after):
            return True
        if kind(two_before or " ") and before in middle and kind(after):
            return True
    return before + after in ("  ", "\r\n")


ascii_texts = st.text(st.sampled_from("aBb13_'.,:;- \r\n\t\"(!"), max_size=14)


@settings(max_examples=400)
@given(ascii_texts, ascii_texts, st.booleans())
def test_ascii_is_found_as_by_hand(text, word, case):
    if not word.strip():
        return
    fold = str if case else str.lower
    expected, last = [], 0
    for at in range(len(text) - len(word) + 1):
        end = at + len(word)
        whole = all(place in (0, len(text)) or not joined(text, place) for place in (at, end))
        if at >= last and fold(text[at:end]) == fold(word) and whole:
            expected.append((at, end))
            last = end
    assert WordPattern(word, case).spans(text) == expected


@pytest.mark.parametrize(
    "text", ["🇩🇪" * 20_000, "a" + "\u0301" * 100_000, "\u200f" * 100_000, "👩\u200d" * 20_000]
)
def test_no_text_is_a_hang(text):
    start = time.monotonic()
    assert WordPattern("x").spans(text + " x") == [(len(text) + 1, len(text) + 2)]
    assert words_of(text + " x")[-1] == "x"
    assert time.monotonic() - start < 30


def test_words_of_a_text():
    assert words_of("Mary's cafe\u0301, she said: 3.14!") == [
        "Mary's",
        "café",
        "she",
        "said",
        "3.14",
    ]
    assert words_of("她喝茶。") == ["她", "喝", "茶"]


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

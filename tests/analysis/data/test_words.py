"""A word is found where Unicode's rules say it is, however it is written, and covers its tokens."""

import re
import time
import unicodedata

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.analysis.data.word_boundaries import (
    _CLUSTER,
    _SEGMENT,
    WordPattern,
    _is_boundary,
    begins,
    key_of,
    words_of,
)
from tests.analysis.data.spellings import APOSTROPHES, CHINESE, HINDI, NFD, PUNCTUATION


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

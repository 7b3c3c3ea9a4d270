"""Windows: the tokens of the whole text, in pieces that say where they are from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.pipeline.inputs.sentences import Sentences
from actlas.pipeline.inputs.tokenizer import Encoded
from actlas.pipeline.inputs.tokens import tokenize
from actlas.pipeline.inputs.windows import TEXT_INDEX, Windows, chosen_windows, cut
from actlas.pipeline.models.folder import resolve
from actlas.pipeline.token_labels.join import token_labels
from actlas.pipeline.token_labels.spans import Coded, Spans
from actlas.store.errors import InputError, UsageError
from actlas.store.labels.special import SpecialToken, SpecialTokens
from tests.small_model import SIZES, TEXTS

AROUND = SpecialTokens((SpecialToken("<s>", 1),), (SpecialToken("</s>", 2),))
LONG = " ".join(TEXTS * 4)


def sentences(texts, columns=None):
    return Sentences("test", tuple(texts), tuple(range(1, len(texts) + 1)), columns or {})


@st.composite
def encodings(draw):
    """Texts, one character a token, with special tokens around each or none."""
    special = draw(st.sampled_from([SpecialTokens(), AROUND]))
    lengths = draw(st.lists(st.integers(1, 20), min_size=1, max_size=5))
    ids, spans, texts = [], [], []
    for length in lengths:
        own = list(range(100 * len(texts) + 10, 100 * len(texts) + 10 + length))
        before, after = ([each.id for each in some] for some in (special.before, special.after))
        ids += [*before, *own, *after]
        places = [(place, place + 1) for place in range(length)]
        spans += [*[(0, 0)] * len(before), *places, *[(0, 0)] * len(after)]
        texts.append("".join(map(chr, range(97, 97 + length))))
    row_size = np.array(lengths, dtype=np.int32) + len(special)
    encoded = Encoded(np.array(ids, np.uint32), np.array(spans, np.int32), row_size)
    return encoded, texts, special


@given(case=encodings(), content=st.integers(1, 8), data=st.data())
def test_windows_are_slices_of_the_text_with_special_tokens_around(case, content, data):
    encoded, texts, special = case
    stride = data.draw(st.integers(1, content))
    found = cut(encoded, texts, special, content, stride)
    before, after = ([each.id for each in some] for some in (special.before, special.after))
    wanted, row = [], 0
    for number, text in enumerate(texts):
        own = encoded.ids[row + len(before) : row + len(before) + len(text)].tolist()
        row += int(encoded.row_size[number])
        start = window = 0
        while True:
            piece = slice(start, start + content)
            wanted.append((number, window, start, text[piece], [*before, *own[piece], *after]))
            if start + content >= len(text):
                break
            start, window = start + stride, window + 1
    ends = np.cumsum(found.encoded.row_size)
    rows = [part.tolist() for part in np.split(found.encoded.ids, ends[:-1])]
    columns = [found.columns[name].tolist() for name in ("text_index", "window", "window_start")]
    assert list(zip(*columns, found.text, rows, strict=True)) == wanted
    for (_, _, start, text, ids), begin, spans in zip(
        wanted, found.columns["window_char"], np.split(found.encoded.spans, ends[:-1]), strict=True
    ):
        assert begin == start  # of tokens of one character
        own = spans[len(before) : len(ids) - len(after)].tolist()
        assert own == [[place, place + 1] for place in range(len(text))]
        assert not spans[: len(before)].any()


def test_tokens_of_windows_are_those_of_the_whole_text(small_model):
    model = resolve(str(small_model))
    size, stride = SIZES["n_positions"], 7
    texts, columns = [TEXTS[0], LONG, TEXTS[1]], {"n": np.array([1, 2, 3])}
    with pytest.raises(InputError, match=rf"positions: --window {size} cuts longer texts"):
        tokenize(sentences(texts), model)
    plain = tokenize(sentences(texts), model, windows=Windows(size, stride))
    found = tokenize(sentences(texts, columns), model, windows=Windows(size, stride))
    labels = found.labels
    assert found.digest == plain.digest
    assert found.notes[0].startswith("1 of 3 texts are cut into ")
    index = labels.columns[TEXT_INDEX]
    assert labels.columns["n"].tolist() == [(1, 2, 3)[number] for number in index]
    assert labels.text[0] == TEXTS[0]
    assert max(labels.row_size) == size
    for token in range(labels.tokens):
        sentence = labels.token["sentence"][token]
        begin = labels.columns["window_char"][sentence]
        start, end = (labels.token[name][token] + begin for name in ("char_start", "char_end"))
        assert texts[index[sentence]][start:end] == labels.token_text(token)


def test_spans_of_whole_texts_reach_their_windows(small_model):
    model, windows = resolve(str(small_model)), Windows(SIZES["n_positions"], 5)
    labels = tokenize(sentences([TEXTS[0], LONG]), model, windows=windows).labels
    places = [place for place in range(len(LONG)) if LONG.startswith("her", place)]
    starts, count = np.array(places), len(places)
    label = {"w": Coded(("her",), starts * 0)}
    spans = Spans("x", starts, np.ones(count, np.int64), starts, starts + 3, label)
    found = token_labels(labels, spans, windowed=True).columns["w"]
    for token in range(labels.tokens):
        sentence = labels.token["sentence"][token]
        begin = labels.columns["window_char"][sentence]
        start, end = (labels.token[name][token] + begin for name in ("char_start", "char_end"))
        inside = any(start < place + 3 and place < end for place in places)
        inside = inside and labels.columns[TEXT_INDEX][sentence] == 1
        assert (found[token] == "her") == inside
    assert (found == "her").sum() > count


def test_windows_that_cannot_be_are_refused(small_model):
    model, size = resolve(str(small_model)), SIZES["n_positions"]
    for windows, special, message in (
        (Windows(size + 1), "default", f"--window {size + 1}: .* has {size} positions"),
        (Windows(4, 5), "default", "--stride 5 would leave tokens out: expected at most 4, the"),
        (Windows(4, 4), "bos", "at most 3, the tokens of a window without its 1 special"),
        (Windows(1), "bos", "has no room for text without its 1 special"),
    ):
        with pytest.raises(UsageError, match=message):
            tokenize(sentences(TEXTS), model, windows=windows, special=special)
    with pytest.raises(UsageError, match="--stride is of the windows"):
        chosen_windows(None, 3)
    assert chosen_windows(None, None) is None
    taken = sentences(TEXTS, {"window": np.arange(len(TEXTS))})
    with pytest.raises(InputError, match=r"has a column 'window'.*--rename window=NEW"):
        tokenize(taken, model, windows=Windows(8))


def test_a_window_with_bos_begins_with_it(small_model):
    model = resolve(str(small_model))
    labels = tokenize(sentences([LONG]), model, windows=Windows(8, 3), special="bos").labels
    first = labels.token["position"] == 0
    assert set(labels.token["token_id"][first]) == {0}
    assert not labels.token["char_end"][first].any()
    assert (labels.row_size[:-1] == 8).all()
    assert labels.columns["window_start"][:4].tolist() == [0, 3, 6, 9]

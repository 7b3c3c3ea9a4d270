"""Tokens know their place in the text, and their digest is of the ids and nothing else."""

import numpy as np
import pytest

from actlas.pipeline.models import resolve
from actlas.pipeline.sentences import Sentences
from actlas.pipeline.tokens import load_tokenizer, tokenize
from actlas.store.errors import InputError, UsageError
from tests.small_model import SIZES, TEXTS


def sentences(texts, columns=None):
    return Sentences("test", tuple(texts), tuple(range(1, len(texts) + 1)), columns or {})


def test_offsets_point_to_the_text(small_model):
    labels = tokenize(sentences(TEXTS), resolve(str(small_model))).labels
    tokenizer = load_tokenizer(small_model)
    for sentence, text in enumerate(TEXTS):
        here = labels.token["sentence"] == sentence
        ids, starts, ends = (labels.token[name][here] for name in ("token_id", "char_start", "char_end"))
        if text.isascii():
            assert [text[start:end] for start, end in zip(starts, ends, strict=True)] == [
                tokenizer.decode([token]) for token in ids
            ]
        assert ends.max() == len(text)
        assert labels.token["position"][here].tolist() == list(range(len(ids)))


def test_bos_stands_in_front_and_covers_no_character(small_model):
    model = resolve(str(small_model))
    plain, with_bos = tokenize(sentences(TEXTS), model), tokenize(sentences(TEXTS), model, bos=True)
    first = with_bos.labels.token["position"] == 0
    assert set(with_bos.labels.token["token_id"][first]) == {0}
    assert not with_bos.labels.token["char_end"][first].any()
    np.testing.assert_array_equal(with_bos.labels.token["token_id"][~first], plain.labels.token["token_id"])
    assert with_bos.digest != plain.digest


def test_digest_is_of_ids_and_bounds_not_of_columns(small_model):
    model = resolve(str(small_model))
    plain = tokenize(sentences(TEXTS), model)
    labelled = tokenize(sentences(TEXTS, {"year": np.arange(len(TEXTS))}), model)
    joined = tokenize(sentences([TEXTS[0] + TEXTS[1]]), model)
    apart = tokenize(sentences([TEXTS[0], TEXTS[1]]), model)
    assert plain.digest == labelled.digest
    assert plain.text_digest == labelled.text_digest
    assert joined.digest != apart.digest


def test_overlong_sentence_is_named_or_left_out(small_model):
    model = resolve(str(small_model))
    long = " ".join(["xyz"] * SIZES["n_positions"])
    with pytest.raises(InputError, match=rf"line 2: \d+ tokens, but .* has {SIZES['n_positions']} positions"):
        tokenize(sentences([TEXTS[0], long, TEXTS[1]]), model)
    kept = tokenize(sentences([TEXTS[0], long, TEXTS[1]], {"n": np.array([1, 2, 3])}), model, skip_bad=True)
    assert kept.labels.text == TEXTS[:2]
    assert kept.labels.columns["n"].tolist() == [1, 3]
    assert [bad.number for bad in kept.skipped] == [2]
    with pytest.raises(InputError, match="holds no sentence that"):
        tokenize(sentences([long]), model, skip_bad=True)


def test_vocab_and_merges_are_the_same_tokenizer(small_model, tmp_path):
    load_tokenizer(small_model).model.save(str(tmp_path))
    assert load_tokenizer(tmp_path).encode(TEXTS[-1]).ids == load_tokenizer(small_model).encode(TEXTS[-1]).ids


def test_folder_without_tokenizer(tmp_path):
    with pytest.raises(UsageError, match="has no tokenizer"):
        load_tokenizer(tmp_path)


def test_broken_tokenizer_is_one_line(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UsageError, match="the tokenizer cannot be read"):
        load_tokenizer(tmp_path)


def test_end_of_text_is_one_token_in_both_forms(small_model, tmp_path):
    load_tokenizer(small_model).model.save(str(tmp_path))
    text = "We saw her.<|endoftext|>Tom"
    assert load_tokenizer(tmp_path).encode(text).ids == load_tokenizer(small_model).encode(text).ids


def test_the_columns_digest_tells_a_number_from_its_text(small_model):
    model = resolve(str(small_model))
    number, text = np.array([7]), np.array(["7"])
    digests = {tokenize(sentences(TEXTS[:1], {"n": column}), model).columns_digest for column in (number, text)}
    assert len(digests) == 2

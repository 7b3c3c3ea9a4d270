"""Tokens know their place in the text, and their digest is of the ids and nothing else."""

import json
import shutil

import numpy as np
import pytest
from tokenizers import Tokenizer

from actlas.pipeline.inputs.sentences import Sentences
from actlas.pipeline.inputs.tokens import tokenize
from actlas.pipeline.models.folder import resolve
from actlas.store.errors import InputError, UsageError
from tests.small_model import SIZES, TEXTS


def sentences(texts, columns=None):
    return Sentences("test", tuple(texts), tuple(range(1, len(texts) + 1)), columns or {})


def test_offsets_point_to_the_text(small_model):
    labels = tokenize(sentences(TEXTS), resolve(str(small_model))).labels
    tokenizer = Tokenizer.from_file(str(small_model / "tokenizer.json"))
    for sentence, text in enumerate(TEXTS):
        here = labels.token["sentence"] == sentence
        ids, starts, ends = (
            labels.token[name][here] for name in ("token_id", "char_start", "char_end")
        )
        if text.isascii():
            assert [text[start:end] for start, end in zip(starts, ends, strict=True)] == [
                tokenizer.decode([token]) for token in ids
            ]
        assert ends.max() == len(text)
        assert labels.token["position"][here].tolist() == list(range(len(ids)))


def test_bos_stands_in_front_and_covers_no_character(small_model):
    model = resolve(str(small_model))
    plain, with_bos = (
        tokenize(sentences(TEXTS), model, special=choice) for choice in ("default", "bos")
    )
    first = with_bos.labels.token["position"] == 0
    assert set(with_bos.labels.token["token_id"][first]) == {0}
    assert not with_bos.labels.token["char_end"][first].any()
    np.testing.assert_array_equal(
        with_bos.labels.token["token_id"][~first], plain.labels.token["token_id"]
    )
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
    with pytest.raises(
        InputError, match=rf"line 2: \d+ tokens, but .* has {SIZES['n_positions']} positions"
    ):
        tokenize(sentences([TEXTS[0], long, TEXTS[1]]), model)
    kept = tokenize(
        sentences([TEXTS[0], long, TEXTS[1]], {"n": np.array([1, 2, 3])}), model, skip_bad=True
    )
    assert kept.labels.text == TEXTS[:2]
    assert kept.labels.columns["n"].tolist() == [1, 3]
    assert [bad.number for bad in kept.skipped] == [2]
    with pytest.raises(InputError, match="holds no sentence that"):
        tokenize(sentences([long]), model, skip_bad=True)


def write(path, **changes):
    """Change keys of a JSON file, made where it is not there."""
    old = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(old | changes))


@pytest.fixture
def copy(small_model, tmp_path):
    return shutil.copytree(small_model, tmp_path / "copy")


def test_bos_is_the_tokenizers_not_that_of_config(copy):
    write(copy / "config.json", bos_token_id=40)
    labels = tokenize(sentences(TEXTS), resolve(str(copy)), special="bos").labels
    assert set(labels.token["token_id"][labels.token["position"] == 0]) == {0}


def test_no_bos_in_the_tokenizer(copy):
    write(copy / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    with pytest.raises(UsageError, match="its tokenizer has no BOS token: leave --bos out"):
        tokenize(sentences(TEXTS), resolve(str(copy)), special="bos")


def test_bos_beyond_the_vocabulary(copy):
    write(
        copy / "tokenizer_config.json",
        tokenizer_class="PreTrainedTokenizerFast",
        bos_token="<begin>",
    )
    model = resolve(str(copy))
    size = model.geometry.vocabulary
    with pytest.raises(
        UsageError, match=rf"special token '<begin>' has id {size}, expected one below {size}"
    ):
        tokenize(sentences(TEXTS), model, special="bos")
    assert tokenize(sentences(TEXTS), model).labels.tokens


@pytest.mark.parametrize("number", [311, 1 << 20, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 70, -1])
def test_ids_beyond_the_vocabulary(copy, number):
    content = json.loads((copy / "tokenizer.json").read_text())
    content["model"]["vocab"]["Q"] = number
    (copy / "tokenizer.json").write_text(json.dumps(content))
    model = resolve(str(copy))
    with pytest.raises(UsageError, match=r"expected ids below|the tokenizer cannot be used"):
        tokenize(sentences(["Q"]), model)


def test_the_columns_digest_tells_a_number_from_its_text(small_model):
    model = resolve(str(small_model))
    number, text = np.array([7]), np.array(["7"])
    digests = {
        tokenize(sentences(TEXTS[:1], {"n": column}), model).columns_digest
        for column in (number, text)
    }
    assert len(digests) == 2

"""Special tokens are those that ``AutoTokenizer`` adds by default; runs and studies know them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from tokenizers import processors

from actlas.analysis.data.words import find_words
from actlas.pipeline.inputs.sentences import Sentences
from actlas.pipeline.inputs.tokenizer import open_tokenizer
from actlas.pipeline.inputs.tokens import tokenize
from actlas.store.errors import DamagedStore, InputError, UsageError
from actlas.store.labels.special import SpecialTokens, special_of
from actlas.store.reading.view import token_coordinates
from tests.pipeline.inputs.special_folders import AROUND, SPECIAL_FOLDERS, word_piece
from tests.pipeline.inputs.tokenizer_folders import plain

TEXTS = ("We saw her.", "her", "a <mask> b [MASK] c", "Mary saw 日本 <s>her</s> [SEP]")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("tokenizers")
    for name, make in {**SPECIAL_FOLDERS, "plain": plain}.items():
        make(root / name)
    return root


def model(folder, *, positions=1000, vocabulary=1000):
    """What tokens are asked of a model: any, so that each tokenizer can be tried."""
    geometry = SimpleNamespace(positions=positions, vocabulary=vocabulary)
    return SimpleNamespace(folder=folder, name=folder.name, geometry=geometry)


def sentences(texts):
    return Sentences("test", tuple(texts), tuple(range(1, len(texts) + 1)), {})


def mask_of(folder, texts):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer(list(texts), return_special_tokens_mask=True)["special_tokens_mask"]


@pytest.mark.parametrize("name", AROUND)
def test_what_each_adds(made, name):
    with open_tokenizer(made / name, name) as tokenizer:
        special = tokenizer.special
    before, after = AROUND[name]
    assert [each.token for each in special.before] == before
    assert [each.token for each in special.after] == after


@pytest.mark.parametrize("name", SPECIAL_FOLDERS)
def test_the_label_is_the_mask_of_transformers(made, name):
    """A special token that a text spells out is one of its own."""
    tokens = tokenize(sentences(TEXTS), model(made / name))
    special = tokens.special.among(tokens.labels.token)
    assert special.tolist() == [bool(one) for row in mask_of(made / name, TEXTS) for one in row]
    ends = tokens.labels.token["char_end"][special]
    assert not ends.any()


@pytest.mark.parametrize("name", SPECIAL_FOLDERS)
def test_without_special_tokens_the_others_stay(made, name):
    default, none = (
        tokenize(sentences(TEXTS), model(made / name), special=choice)
        for choice in ("default", "none")
    )
    own = ~default.special.among(default.labels.token)
    for label in ("token_id", "char_start", "char_end", "sentence"):
        np.testing.assert_array_equal(
            default.labels.token[label][own], none.labels.token[label], label
        )
    assert not none.special.among(none.labels.token).any()
    assert (default.digest == none.digest) == (len(default.special) == 0)
    assert none.special.to_json() == {"choice": "none", "before": [], "after": []}


@pytest.mark.slow
def test_the_record_comes_back(made):
    for name in SPECIAL_FOLDERS:
        special = tokenize(sentences(TEXTS), model(made / name)).special
        description = json.loads(json.dumps({"special": special.to_json()}))
        assert special_of(description) == special
    assert special_of({}) == SpecialTokens()
    huge = {"choice": "bos", "before": [{"token": "x", "id": 1e999}], "after": []}
    for damaged in (3, [], {}, {"choice": "x", "before": [], "after": []}, {"choice": "bos"}, huge):
        with pytest.raises(DamagedStore, match=r"restore run\.json"):
            special_of({"special": damaged})


def test_special_tokens_in_words(made):
    assert str(tokenize(sentences(TEXTS), model(made / "bert")).special) == (
        "[CLS] before, [SEP] after each sentence"
    )
    assert str(SpecialTokens()) == "none"


@pytest.mark.parametrize("name", ["llama_3", "roberta", "gemma", "llama_adds_eos"])
def test_bos_is_refused_where_the_tokenizer_adds_it(made, name):
    with pytest.raises(UsageError, match="by itself: leave --bos out"):
        tokenize(sentences(TEXTS), model(made / name), special="bos")


@pytest.mark.parametrize(("name", "after"), [("only_eos", 1), ("plain", 0)])
def test_bos_stands_before_what_the_tokenizer_adds(made, name, after):
    default, bos = (
        tokenize(sentences(TEXTS), model(made / name), special=choice)
        for choice in ("default", "bos")
    )
    assert (len(bos.special.before), len(bos.special.after)) == (1, after)
    np.testing.assert_array_equal(bos.labels.row_size, default.labels.row_size + 1)
    first = bos.labels.token["position"] == 0
    assert set(bos.labels.token["token_id"][first]) == {bos.special.before[0].id}
    assert np.count_nonzero(bos.special.among(bos.labels.token)) == len(TEXTS) * (1 + after)


def test_length_counts_special_tokens(made):
    text = ["her"]
    longest = tokenize(sentences(text), model(made / "bert")).labels.tokens
    assert tokenize(sentences(text), model(made / "bert", positions=longest)).labels.tokens
    with pytest.raises(InputError, match=rf"{longest} tokens, 2 of them special, but bert has"):
        tokenize(sentences(text), model(made / "bert", positions=longest - 1))


def test_special_tokens_alone_are_no_sentence(made):
    with pytest.raises(InputError, match="gives no token"):
        tokenize(sentences(["\u200b"]), model(made / "bert"))


def test_a_special_token_beyond_the_vocabulary(made):
    with pytest.raises(UsageError, match=r"'\[SEP\]' has id 3, expected one below 3.*--no-special"):
        tokenize(sentences(TEXTS), model(made / "bert", vocabulary=3))


def test_special_tokens_within_a_text_are_refused(tmp_path):
    processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP] $A", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    word_piece(tmp_path, processor, tokenizer_class="PreTrainedTokenizerFast")
    with (
        pytest.raises(UsageError, match="adds special tokens within a text"),
        open_tokenizer(tmp_path, "x"),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "mask", "is_one"),
    [
        ("bert", "[MASK]", True),
        ("bert_generic_class", "[MASK]", True),
        ("roberta", "<mask>", True),
        ("roberta_generic_class", "<mask>", True),
        ("llama_3", "[MASK]", False),  # a text like any other there
        ("gemma", "<mask>", False),
    ],
)
def test_the_mask_can_be_a_target(made, name, mask, is_one):
    from transformers import AutoTokenizer

    texts = (f"We saw {mask}.", f"{mask} saw her", f"a{mask}b, {mask} {mask}", "no one")
    tokens = tokenize(sentences(texts), model(made / name))
    labels = xr.Dataset(coords=token_coordinates(tokens.labels, tokens.special))
    found = find_words(labels, mask).found
    assert {sentence: len(each) for sentence, each in found.items()} == {0: 1, 1: 1, 2: 3}
    ids = [labels["token_id"].values[each] for some in found.values() for each in some]
    if is_one:
        number = AutoTokenizer.from_pretrained(made / name).mask_token_id
        assert [each.tolist() for each in ids] == [[number]] * 5
    assert not any(labels["special"].values[each].any() for some in found.values() for each in some)

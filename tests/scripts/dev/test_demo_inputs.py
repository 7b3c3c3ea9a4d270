"""The inputs with columns that come with actlas are what their script makes, and are right."""

import re
from collections import Counter
from itertools import islice

import pytest
from tokenizers import Tokenizer

from actlas.pipeline.inputs.sentences import read_sentences
from actlas.scripts.dev.demo_grammar import sentences
from actlas.scripts.dev.demo_inputs import TEXTS, files


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_file(str(TEXTS.parent / "demo_model/tokenizer.json"))


@pytest.mark.parametrize("name", files())
def test_the_committed_files_are_current(name):
    assert (TEXTS / name).read_text(encoding="utf-8") == files()[name], (
        "python -m actlas.scripts.dev.demo_inputs writes them again"
    )


def test_their_words_are_those_of_the_demo_model():
    known = {word for text in islice(sentences(0), 5000) for word in re.findall(r"\w+", text)}
    for name in files():
        for text in read_sentences(str(TEXTS / name)).text:
            unknown = {word for word in re.findall(r"\w+", text) if word not in known}
            assert {word.lower() for word in unknown} <= {word.lower() for word in known}, text


def test_each_labelled_sentence_has_one_her_of_its_use():
    read = read_sentences(str(TEXTS / "labelled.csv"))
    assert all(re.findall(r"\bher\b", text) == ["her"] for text in read.text)
    assert len(set(read.text)) == len(read.text)
    uses = zip(read.columns["use"], read.columns["template"], strict=True)
    assert all(template.startswith(f"{use} ") for use, template in uses)
    counts = Counter(read.columns["use"].tolist())
    assert min(counts["object"], counts["possessive"]) > 80
    assert max(Counter(read.columns["template"].tolist()).values()) == 4


def test_pairs_differ_in_one_token(tokenizer):
    read = read_sentences(str(TEXTS / "pairs.csv"))
    columns = {name: values.tolist() for name, values in read.columns.items()}
    assert set(zip(columns["answer"], columns["wrong"], strict=True)) == {
        (" her", " him"),
        (" him", " her"),
    }
    for first in range(0, len(read.text), 2):
        one, other = (tokenizer.encode(text).ids for text in read.text[first : first + 2])
        assert sum(a != b for a, b in zip(one, other, strict=True)) == 1
        assert columns["pair"][first] == columns["pair"][first + 1] == first // 2
        assert columns["answer"][first : first + 2] == [" her", " him"]
        for answer in (" her", " him"):
            whole = tokenizer.encode(read.text[first] + answer).ids
            assert whole[:-1] == one  # the pronoun is one token of its own

"""Laws of the selection: whole words, pairs, never position 0; and who is left out, and why."""

import re

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from actlas.analysis.data.context import context_window
from actlas.analysis.data.sentences import texts_of
from actlas.analysis.data.tokens import Target, select_tokens
from actlas.analysis.data.words import TargetError
from actlas.store.errors import UsageError
from tests import strategies


def word_of(labels, token):
    """Return the text of a token, without the space before it."""
    text = str(labels["text"].values[int(token)])
    return text[int(labels["char_start"][token]) : int(labels["char_end"][token])].strip()


@given(
    strategies.labelled_sentences(),
    st.sampled_from(["first", "last", "all"]),
    st.sampled_from(["previous", "random", "matched"]),
    st.booleans(),
    st.integers(0, 3),
)
def test_laws(labels, occurrence, control, case, seed):
    target = Target("her", case, occurrence, control=control, seed=seed)
    try:
        selection = select_tokens(labels, target)
    except TargetError:
        return
    words = [word_of(labels, token) for token in selection.target_token]
    assert all(word == "her" if case else word.lower() == "her" for word in words)
    positions, sentences = labels["position"].values, labels["sentence"].values
    assert (positions[selection.control_token] > 0).all()
    if control == "matched":
        np.testing.assert_array_equal(
            positions[selection.control_token], positions[selection.target_token]
        )
        assert (sentences[selection.control_token] != sentences[selection.target_token]).all()
        matched = [word_of(labels, token) for token in selection.control_token]
        assert all(word != "her" if case else word.lower() != "her" for word in matched)
    else:
        assert (positions[selection.control_token] < positions[selection.target_token]).all()
        np.testing.assert_array_equal(
            sentences[selection.control_token], sentences[selection.target_token]
        )
    np.testing.assert_array_equal(sentences[selection.target_token], selection.sentence)
    if control == "previous":
        np.testing.assert_array_equal(selection.control_token, selection.target_token - 1)
    if occurrence != "all":
        assert len(set(selection.sentence)) == len(selection.sentence)
    assert {item.sentence for item in selection.left_out} | set(selection.sentence.tolist()) == set(
        sentences
    )


@given(strategies.labelled_sentences())
def test_all_occurrences_are_found_once(labels):
    texts = list(texts_of(labels))
    possible = [
        len([m for m in re.finditer(r"\bher\b", text) if text[: m.start()].count(" ") > 1])
        for text in texts
    ]
    if sum(possible) < 2:
        return
    selection = select_tokens(labels, Target("her", case=True, occurrence="all"))
    assert np.bincount(selection.sentence, minlength=len(texts)).tolist() == possible


def test_word_of_several_tokens_is_its_last_and_its_control_stands_before_its_first():
    labels = strategies.labels(["we all saw New York now", "we both saw New York now"])
    selection = select_tokens(labels, Target("New York"))
    assert [word_of(labels, token) for token in selection.target_token] == ["York", "York"]
    assert [word_of(labels, token) for token in selection.control_token] == ["saw", "saw"]
    first = select_tokens(labels, Target("New York", pool="first"))
    assert [word_of(labels, token) for token in first.target_token] == ["New", "New"]


@pytest.mark.parametrize("chunks", [None, {"layer": 1, "token": 3}])
def test_taking_a_word_of_several_tokens(chunks):
    labels = strategies.labels(
        ["we all saw New York now", "so York", "we both saw New York and New York now"]
    )
    values = np.random.default_rng(0).random((2, labels.sizes["token"], 3)).astype(np.float32)
    array = xr.DataArray(
        values,
        dims=("layer", "token", "d"),
        coords={"layer": [0, 1], "sentence": labels["sentence"]},
    )
    array = array if chunks is None else array.chunk(chunks)
    words = [slice(3, 5), slice(11, 13), slice(14, 16)]
    expected = {
        "first": np.stack([values[:, word][:, 0] for word in words], axis=1),
        "last": np.stack([values[:, word][:, -1] for word in words], axis=1),
        "mean": np.stack([values[:, word].mean(1) for word in words], axis=1),
    }
    for pool, wanted in expected.items():
        selection = select_tokens(labels, Target("New York", occurrence="all", pool=pool))
        taken = selection.take(array, "target")
        assert (taken.chunks is None) == (chunks is None)
        np.testing.assert_allclose(taken, wanted, rtol=1e-6)
        np.testing.assert_array_equal(selection.take(array, "control"), values[:, [2, 10, 13]])


def test_summary_says_what_was_left_out():
    labels = strategies.labels(["a b her", "a c her", "a her", "nobody came"])
    selection = select_tokens(labels, Target("her"))
    assert selection.summary() == (
        "2 pairs of 'her' and the token before it; sentences left out: 1 without a possible "
        "control, 1 without the word"
    )
    assert [item.sentence for item in selection.left_out] == [2, 3]


def test_random_control_follows_its_seed():
    labels = strategies.labels([f"a b c d e f g h i {n} her" for n in range(20)])
    one, again, other = (
        select_tokens(labels, Target("her", control="random", seed=s)).control_token
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


@pytest.mark.parametrize(
    ("texts", "word", "message"),
    [
        (
            ["we saw him there", "he saw hers"],
            "her",
            r"occurs in none of the 2 sentences: near to it are .*hers",
        ),
        (["we saw him"], "zzz", r"'zzz' occurs in none of the 1 sentences$"),
        (["we saw her", "nobody came"], "her", r"1 pair of 'her' .* expected at least 2"),
        (["a her", "b her"], "her", r"0 pairs of 'her' .*\(2 without a possible control"),
    ],
)
def test_word_that_cannot_be_studied(texts, word, message):
    with pytest.raises(TargetError, match=message):
        select_tokens(strategies.labels(texts), Target(word))


@pytest.mark.parametrize(
    "wrong",
    [
        {"word": " "},
        {"word": "her", "control": "next"},
        {"word": "her", "pool": "sum"},
        {"word": "her", "seed": -1},
    ],
)
def test_wrong_target(wrong):
    with pytest.raises(UsageError):
        Target(**wrong)


@given(
    dataset=strategies.labelled_sentences(),
    context=st.integers(0, 4),
    word=st.sampled_from(["her", "there", "Mary"]),
)
def test_context_window_are_the_tokens_near_any_match(dataset, context, word):
    position, sentence = dataset["position"].values, dataset["sentence"].values
    words = [
        [at for at, text in enumerate(text.split(" ")) if text.lower() == word.lower()]
        for text in texts_of(dataset)
    ]
    near = [
        min((abs(p - at) for at in words[s]), default=99) <= context
        for p, s in zip(position, sentence, strict=True)
    ]
    target = Target(word)
    if not any(words):
        with pytest.raises(TargetError, match="occurs in none"):
            context_window(dataset, target, context)
        return
    np.testing.assert_array_equal(context_window(dataset, target, context), np.flatnonzero(near))
    whole = context_window(dataset, target, None)
    np.testing.assert_array_equal(whole, np.flatnonzero([bool(words[s]) for s in sentence]))


@given(
    dataset=strategies.labelled_sentences(),
    context=st.integers(1, 4),
    occurrence=st.sampled_from(["first", "last", "all"]),
)
def test_among_the_tokens_around_a_word_the_same_pairs_are_found(dataset, context, occurrence):
    target = Target("her", occurrence=occurrence)
    try:
        wanted = select_tokens(dataset, target)
    except TargetError:
        return
    kept = context_window(dataset, target, context)
    got = select_tokens(dataset.isel(token=kept), target)
    for name in ("first_token", "last_token", "control_token"):
        np.testing.assert_array_equal(kept[getattr(got, name)], getattr(wanted, name))
    np.testing.assert_array_equal(got.sentence, wanted.sentence)


def test_a_word_without_its_tokens_is_left_out_with_the_reason():
    dataset = strategies.labels(
        ["Mary in saw her there", "Mary a saw her there", "Mary saw her in a cup there"]
    )
    kept = context_window(dataset, Target("there"), 2)
    part = dataset.isel(token=kept)
    selection = select_tokens(part, Target("her"))
    assert [(item.sentence, item.reason) for item in selection.left_out] == [
        (2, "without the tokens of the word")
    ]
    assert [word_of(part, token) for token in selection.control_token] == ["saw", "saw"]
    with pytest.raises(
        TargetError,
        match=r"0 pairs of 'Mary' .* 3 have the word in their text and not among their tokens",
    ):
        select_tokens(part, Target("Mary"))

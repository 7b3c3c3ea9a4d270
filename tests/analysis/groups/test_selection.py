"""Groups of tokens against the texts themselves; what cannot be a group is refused."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from actlas.analysis.data.tokens import Target, select_tokens
from actlas.analysis.groups import parse_group, select_groups, selecting
from actlas.analysis.groups.choice import GroupChoice
from actlas.analysis.groups.evaluation import TokenTable
from actlas.analysis.groups.selection import chosen_groups
from actlas.store.errors import ActlasError, UsageError
from tests import strategies

TEXTS = ("We saw her there", "Mary lost her cup", "then New York saw her", "Tom saw a cup , her")
USES = ("object", "possessive", "object", "object")


@pytest.fixture
def labels():
    found = strategies.labels(TEXTS)
    ids = np.unique(words(found, range(found.sizes["token"])), return_inverse=True)[1]
    of_token = found["sentence"].values
    return found.assign_coords(
        token_id=("token", ids),
        use=("token", np.array(USES, dtype=object)[of_token]),
        year=("token", np.array([1, 2, 1, 2])[of_token]),
    )


def words(labels, tokens):
    """Return the words of tokens, from the texts alone."""
    texts, places = labels["text"].values, labels["position"].values
    return [str(texts[token]).split()[places[token]] for token in tokens]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("her", "her her her her"),
        ("HER|cup", "her her cup her cup her"),
        ("saw@-1", "We York Tom"),
        ("New York@-1", "then"),
        ("her@-1", "saw lost saw ,"),
        ("her@1", "there cup"),
        (r"text:\,|a", "a ,"),
        ("regex:^ ?[A-Z]", "We Mary New York Tom"),
        ("length:1", "a ,"),
        ("position:-1", "there cup her her"),
        ("position:-2--1,!her", "there cup saw ,"),
        ("freq:3-9", "saw her her saw her saw her"),
        ("use:possessive", "Mary lost her cup"),
        ("year:2,cup", "cup cup"),
        ("New York", "York"),
        ("!New York,length:3-4,sentence:2", "then saw her"),
    ],
)
def test_conditions(labels, condition, expected):
    found = TokenTable(labels).found(parse_group(f"it={condition}")).last
    assert words(labels, found) == expected.split()


def test_words_of_several_tokens_are_pooled():
    labels = strategies.labels(["in New York now", "see New York now"])
    activations = xr.DataArray(
        np.arange(8.0)[None, :, None], dims=("layer", "token", "d"), coords={"layer": [0]}
    )
    for pool, expected in (("last", [2, 6]), ("first", [1, 5]), ("mean", [1.5, 5.5])):
        groups = select_groups(labels, {"city": "New York", "now": "now"}, pool=pool)
        assert groups.take(activations, "city").values.ravel().tolist() == expected
    before = select_groups(labels, {"before": "New York@-1", "now": "now"}, first_token="include")
    assert before["before"].tolist() == [0, 4]
    with pytest.raises(UsageError, match="all first or special"):
        select_groups(labels, {"before": "New York@-1", "now": "now"})


@given(strategies.labelled_sentences())
def test_a_word_and_the_token_before_it_are_the_pairs_of_study_1(labels):
    """Wherever each sentence has the word once, away from its beginning."""
    try:
        groups = select_groups(labels, {"target": "her", "control": "her@-1"})
        every = select_groups(labels, {"every": "her"}, first_token="include")["every"]
        pairs = select_tokens(labels, Target("her"))
    except ActlasError:
        return
    once = len(np.unique(labels["sentence"].values[every])) == len(every)
    if once and (labels["position"].values[every] > 1).all():
        for name in ("target", "control"):
            np.testing.assert_array_equal(groups[name], pairs.groups[name])


@given(strategies.labelled_sentences(), st.sampled_from(["previous", "random", "matched"]))
def test_target_and_control_are_groups_of_the_same_tokens(labels, control):
    target = Target("her", occurrence="all", control=control)
    try:
        pairs = select_tokens(labels, target)
        groups = chosen_groups(labels, GroupChoice(target=target))
    except ActlasError:
        return
    for name in ("target", "control"):
        np.testing.assert_array_equal(groups[name], pairs.groups[name])
        np.testing.assert_array_equal(
            np.unique(groups.clusters[name], return_inverse=True)[1],
            np.unique(pairs.clusters[name], return_inverse=True)[1],
        )
    assert groups.contrasts == (("target", "control"),)
    assert groups.coordinates()["pair_control"].values.tolist() == pairs.control_token.tolist()


def test_rest_contrasts_and_notes(labels):
    one = select_groups(labels, {"her": "her"})
    assert one.contrasts == (("her", "rest"),)
    assert not set(one["her"]) & set(one["rest"])
    assert len(one["rest"]) + len(one["her"]) == (labels["position"].values > 0).sum()
    two = select_groups(labels, {"her": "her", "short": "length:1-3"})
    assert two.contrasts == (("her", "short"),)
    assert two.notes == ("groups her and short share 4 tokens",)
    named = select_groups(labels, {"her": "her", "saw": "saw"}, contrast=["saw:rest"])
    assert list(named) == ["her", "saw", "rest"]
    by = select_groups(labels, by="year", every=True)
    assert list(by) == ["later tokens", "year=1", "year=2"]
    assert by.contrasts == (("year=1", "year=2"),)
    with pytest.raises(UsageError, match="'use=possessive' has 3 tokens of 1 cluster"):
        select_groups(labels, by="use")


def test_the_rest_is_drawn_where_its_rows_are_held(labels, monkeypatch):
    monkeypatch.setattr(selecting, "MOST_REST", 3)
    groups = select_groups(labels, {"her": "her"})
    assert len(groups["rest"]) == 3
    assert groups.notes == ("the rest is 3 of 11 tokens, drawn with --seed",)
    assert len(select_groups(labels, {"her": "her"}, every=True)["rest"]) == 11


def test_summary_counts_what_there_is(labels):
    groups = select_groups(labels, {"her": "her", "cup": "cup"}, cluster="use")
    summary = groups.summary()
    assert summary["group_tokens"].values.tolist() == [4, 2]
    assert summary["group_sentences"].values.tolist() == [4, 2]
    assert summary["group_clusters"].sel(group="her").item() == 2
    position = labels["position"].values[groups["her"]].mean()
    assert summary["group_position"].sel(group="her").item() == position
    saved = groups.coordinates()
    tokens = saved["member_token"].values[saved["member_group"].values == 1]
    np.testing.assert_array_equal(tokens, groups["cup"])


def test_matched_groups_have_the_same_positions():
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(list("abcdx"), 9)) for _ in range(40)]
    labels = strategies.labels(texts)
    options = {"match": "position", "first_token": "include"}
    groups = select_groups(labels, {"one": "a", "two": "b|c"}, **options)
    again = select_groups(labels, {"one": "a", "two": "b|c"}, **options)
    positions = [np.sort(labels["position"].values[tokens]) for tokens in groups.values()]
    np.testing.assert_array_equal(*positions)
    assert groups["two"].tolist() == again["two"].tolist()
    other = select_groups(labels, {"one": "a", "two": "b|c"}, seed=1, **options)
    assert groups["two"].tolist() != other["two"].tolist()
    assert "left out are" in groups.notes[0]


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        ({"x": "hers"}, {}, "occurs in none of the 4 sentences: near to it are her"),
        ({"x": "length:40"}, {}, "length:40 matches none of the 19 tokens"),
        ({"x": "a"}, {}, "1 token of 1 cluster: expected 2 clusters or more"),
        ({"x": "her", "y": "her"}, {}, "groups 'x' and 'y' have the same tokens"),
        ({"x": "uses:object"}, {}, "unknown condition or column 'uses': did you mean use?"),
        ({"x": "text_:a"}, {}, "unknown condition or column 'text_': did you mean text"),
        ({"x": "use:subject"}, {}, "column use never is 'subject': it is 'object', 'possessive'"),
        ({"x": "position:0"}, {}, "all first or special ones"),
        ({"x": "her"}, {"cluster": "years"}, "unknown column of clusters 'years'"),
        ({"x": "her"}, {"contrast": ["x"]}, "expected A:B"),
        ({"x": "her"}, {"contrast": ["x:y"]}, "unknown group in --contrast 'y'"),
        ({"x": "her"}, {"match": "years"}, "unknown column to match by 'years'"),
        ({"x": "her"}, {"first_token": "drop"}, "unknown choice 'drop'"),
        ({"x": "her", "y": "a|saw"}, {"match": "use", "by": "uses"}, "unknown label column 'uses'"),
        ({"x": "!position:0"}, {"contrast": ["x:rest"]}, "no token is in the rest"),
    ],
)
def test_what_is_no_group_is_one_line(labels, groups, options, message):
    with pytest.raises(UsageError) as error:
        select_groups(labels, groups, **options)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1

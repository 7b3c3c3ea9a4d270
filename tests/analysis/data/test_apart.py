"""Special tokens are never a control, and lie apart from the others in every study."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from actlas.analysis.data.apart import first_tokens, later_tokens, special_tokens
from actlas.analysis.data.group_names import FIRST, LATER, SPECIAL
from actlas.analysis.data.tokens import Target, select_tokens
from actlas.analysis.data.words import TargetError
from actlas.analysis.groups import select_groups
from actlas.analysis.norms.outliers import outliers
from actlas.analysis.reconstruction.laminar import Mask, laminar_correlation
from tests import strategies


def with_special(labels, before, after):
    """Put ``before`` and ``after`` tokens without characters around each sentence."""
    columns = {name: [] for name in ("sentence", "position", "char_start", "char_end", "special")}
    texts = []
    for sentence in np.unique(labels["sentence"].values):
        own = labels.isel(token=labels["sentence"].values == sentence)
        spans = list(zip(own["char_start"].values, own["char_end"].values, strict=True))
        tokens = [*[(0, 0)] * before, *spans, *[(0, 0)] * after]
        for position, (start, end) in enumerate(tokens):
            special = not before <= position < before + len(spans)
            values = (sentence, position, start, end, special)
            for name, value in zip(columns, values, strict=True):
                columns[name].append(value)
            texts.append(own["text"].values[0])
    coords = {name: ("token", np.array(values)) for name, values in columns.items()}
    return xr.Dataset(coords={**coords, "text": ("token", np.array(texts, dtype=object))})


def selected(labels, target):
    """Return the pairs as characters, None where there are none."""
    try:
        return select_tokens(labels, target)
    except TargetError:
        return None


@given(
    strategies.labelled_sentences(),
    st.integers(0, 3),
    st.integers(0, 2),
    st.sampled_from(["previous", "random", "matched"]),
)
def test_no_special_token_is_target_or_control(labels, before, after, control):
    around = with_special(labels, before, after)
    selection = selected(around, Target("her", occurrence="all", control=control))
    if selection is None:
        return
    special = around["special"].values
    for tokens in (selection.first_token, selection.last_token, selection.control_token):
        assert not special[tokens].any()
        assert (around["char_end"].values[tokens] > 0).all()
    assert (around["position"].values[selection.control_token] > 0).all()


@given(strategies.labelled_sentences(), st.integers(1, 3), st.integers(0, 2))
def test_behind_special_tokens_the_first_word_can_be_a_control(labels, before, after):
    """As behind a BOS: position 0 is that of the special token."""
    around = with_special(labels, before, after)
    plain = selected(labels, Target("her", occurrence="all"))
    found = selected(around, Target("her", occurrence="all"))
    assert found is not None or plain is None
    if plain is not None and found is not None:
        assert len(found.sentence) >= len(plain.sentence)


@given(strategies.labelled_sentences(), st.integers(0, 2), st.integers(0, 2))
def test_each_token_is_in_one_group(labels, before, after):
    around = with_special(labels, before, after)
    groups = select_groups(around, first_token="group", every=True)
    every = np.sort(np.concatenate([*groups.values()]))
    np.testing.assert_array_equal(every, np.arange(around.sizes["token"]))
    special = around["special"].values
    assert not special[groups[LATER]].any()
    assert (SPECIAL in groups) == (before + after > (before > 0))
    assert (around["position"].values[groups[FIRST]] == 0).all()


def test_labels_without_special_tokens_have_none():
    labels = strategies.labels(["We saw her", "her"])
    assert not special_tokens(labels).any()
    np.testing.assert_array_equal(later_tokens(labels), ~first_tokens(labels))


@pytest.fixture
def resid():
    """The largest values on the last token of each sentence, a special one."""
    labels = with_special(strategies.labels(["We saw her now", "I met her then"]), 1, 1)
    values = np.random.default_rng(0).normal(size=(3, labels.sizes["token"], 5))
    values[:, labels["special"].values] *= 1000
    array = xr.DataArray(values.astype(np.float32), dims=("depth", "token", "d_model"))
    return array.assign_coords(labels.coords).chunk({"depth": 1})


def test_outliers_of_special_tokens_are_listed_apart(resid):
    found = outliers(resid, 2).compute()
    assert found["part"].values.tolist() == [FIRST, LATER, SPECIAL]
    tokens = found["outlier_token"].values
    for part, mask in enumerate((first_tokens, later_tokens, special_tokens)):
        assert mask(resid)[tokens[part]].all()
    assert abs(found["outlier_value"].sel(part=LATER)).max() < 100


def test_they_are_left_out_with_the_first_tokens(resid):
    own = resid.isel(token=later_tokens(resid))
    kept = laminar_correlation(resid, Mask(quantile=1.0, first_token=False)).compute()
    alone = laminar_correlation(own, Mask(quantile=1.0, first_token=True)).compute()
    np.testing.assert_allclose(
        kept["unmasked_correlation"].values, alone["unmasked_correlation"].values
    )

"""Outliers against a plain search over the whole array."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from actlas.analysis.data.group_names import FIRST, LATER
from actlas.analysis.norms.outliers import outliers
from actlas.store.errors import UsageError
from tests import strategies


def labelled(resid, sentences):
    sizes = np.array(sentences)
    sentence = np.repeat(np.arange(len(sizes)), sizes)
    position = np.concatenate([np.arange(size) for size in sizes])
    return resid.assign_coords(sentence=("token", sentence), position=("token", position))


@pytest.mark.slow
@given(strategies.residuals(), st.integers(1, 6), st.data())
def test_agrees_with_a_plain_search_for_any_split(resid, count, data):
    tokens = resid.sizes["token"]
    resid = labelled(resid, data.draw(strategies.splits(tokens)))
    got = outliers(
        resid.chunk({"depth": 1, "token": data.draw(strategies.splits(tokens))}), count
    ).compute()
    for group, members in ((FIRST, resid["position"] == 0), (LATER, resid["position"] > 0)):
        size = np.abs(resid.values[:, members.values])
        largest = np.sort(size.max((0, 1)))[::-1][:count] if size.size else []
        of_group = got.sel(part=group)
        np.testing.assert_array_equal(
            np.abs(of_group["outlier_value"].values[: len(largest)]), largest
        )
        assert np.isnan(of_group["outlier_value"].values[len(largest) :]).all()
        assert (of_group["outlier_token"].values[len(largest) :] == -1).all()
        seen = set()
        for rank in range(len(largest)):
            place = {
                name: int(of_group[f"outlier_{name}"][rank])
                for name in ("dimension", "depth", "token", "position")
            }
            seen.add(place["dimension"])
            value = resid.values[place["depth"], place["token"], place["dimension"]]
            assert value == of_group["outlier_value"][rank]
            assert place["position"] == resid["position"].values[place["token"]]
            assert (
                int(of_group["outlier_sentence"][rank]) == resid["sentence"].values[place["token"]]
            )
        assert len(seen) == len(largest)


def test_none_are_no_outliers():
    with pytest.raises(UsageError, match="0 outliers, expected 1 or more"):
        outliers(
            labelled(xr.DataArray(np.zeros((2, 1, 2)), dims=("depth", "token", "d_model")), [1]), 0
        )


@pytest.mark.usefixtures("forbid_compute")
def test_builds_without_computing():
    resid = xr.DataArray(np.zeros((2, 4, 3), dtype=np.float32), dims=("depth", "token", "d_model"))
    assert (
        outliers(labelled(resid.chunk({"depth": 1, "token": 2}), [2, 2]), 2)[
            "outlier_sentence"
        ].chunks
        is not None
    )

"""A pass over the blocks of a place: each once, in order, and only those that are wanted."""

from functools import partial

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from actlas.analysis.downstream.compute import sentence_sums
from actlas.analysis.groups.by_block import BlockRows
from actlas.analysis.groups.resampling import group_means
from actlas.analysis.kernels.folding import folded
from actlas.analysis.norms.compute import norm_profile
from actlas.analysis.norms.depths import std_by_depth

UNITS = (4, 1, 6, 9)
TOKENS = sum(UNITS)


class Blocks:
    """An array that remembers which of its blocks were read, and how many are held."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.ndim = values, values.shape, values.dtype, 3
        self.read = []

    def __getitem__(self, key):
        self.read.append((key[0].start, key[1].start))
        return self.values[key]

    def lazy(self):
        chunks = ((1,) * len(self.values), UNITS, (self.shape[2],))
        array = da.from_array(self, chunks, getitem=lambda blocks, key, *_: blocks[key], meta=0.0)
        return xr.DataArray(array, dims=("layer", "token", "d"))


class Order:
    """Where each block began, and the sum of all."""

    def __init__(self, seen):
        self._seen, self._mine, self._sum = seen, [], 0.0

    def add(self, first, *blocks):
        self._mine.append(first)
        self._sum += sum(block.sum() for block in blocks)

    def result(self):
        self._seen.append(self._mine)
        return np.array([self._sum, len(self._mine)])


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=(3, TOKENS, 2))


def test_every_block_is_read_once_in_order(values):
    blocks, seen = Blocks(values), []
    found = folded(partial(Order, seen), {"number": 2}, blocks.lazy(), blocks.lazy())
    assert not blocks.read
    assert found.dims == ("layer", "number")
    np.testing.assert_allclose(found[:, 0], 2 * values.sum((1, 2)))
    starts = np.cumsum([0, *UNITS])[:-1].tolist()
    assert seen == [starts] * 3
    assert found.name is None


def test_a_block_without_tokens_of_a_group_is_not_read(values):
    blocks, rows = Blocks(values), BlockRows({"few": np.array([19, 2, 2])})
    found = folded(partial(Order, []), {"number": 2}, blocks.lazy(), wanted=rows.any)
    assert found.compute()[:, 1].values.tolist() == [2, 2, 2]
    assert {start for _, start in blocks.read} == {0, 11}
    assert rows.rows("few", 0, 4).tolist() == [2, 2]
    assert rows.places("few", 0, 4).tolist() == [1, 2]
    nothing = folded(partial(Order, []), {"number": 2}, blocks.lazy(), wanted=lambda *_: False)
    assert nothing.compute()[:, 1].values.tolist() == [0, 0, 0]


def test_means_of_groups_and_sums_of_sentences_that_units_cut(values):
    values[0, 3, 1] = np.nan
    array = xr.DataArray(values, dims=("layer", "token", "head"))
    groups = {"some": np.array([3, 4, 18]), "none": np.array([], dtype=np.int64)}
    for given in (array, array.chunk({"layer": 1, "token": UNITS})):
        for skipna, mean in ((True, np.nanmean), (False, np.mean)):
            found = group_means(given, groups, skipna=skipna)
            expected = mean(values[:, groups["some"]], axis=1)
            np.testing.assert_allclose(found.sel(group="some"), expected)
            assert np.isnan(found.sel(group="none")).all()
            assert found.dims == ("group", "layer", "head")
    sentence = np.repeat(np.arange(4), (3, 7, 1, 9))
    labels = xr.Dataset(coords={"sentence": ("token", sentence)})
    kept = np.arange(TOKENS) % 3 > 0
    for given in (array[..., 0], array[..., 0].chunk({"layer": 1, "token": UNITS})):
        for part in (given, given[1]):
            sums = sentence_sums(part, labels, kept)
            weighted = np.where(kept, part.values, 0)
            expected = np.stack([weighted[..., sentence == n].sum(-1) for n in range(4)], -1)
            np.testing.assert_allclose(sums, expected)


def test_of_one_depth_there_is_no_step(values):
    resid = xr.DataArray(values[:1], dims=("depth", "token", "d_model")).chunk(token=UNITS)
    groups = {"all tokens": np.arange(TOKENS)}
    found = norm_profile(xr.Dataset({"resid": resid}), groups, sums=True).compute()
    np.testing.assert_allclose(found["std"][0], values[:1].std((1, 2)))
    assert np.isnan(found["step"]).all()
    np.testing.assert_allclose(std_by_depth(resid), values[:1].std((1, 2)))

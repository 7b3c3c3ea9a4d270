"""How alike two heads are, against the whole matrix of cosines."""

import numpy as np
import pytest
import xarray as xr

from actlas.analysis.cosine import heads
from actlas.analysis.cosine.compute import cosine_matrix
from tests.analysis.test_cosine import selection_of


@pytest.fixture
def dataset():
    generator, sizes = np.random.default_rng(0), {"q": ("head", 3), "k": ("kv_head", 2)}
    sizes["v"] = sizes["k"]
    arrays = {}
    for name, (dim, count) in sizes.items():
        values = generator.normal(size=(2, 12, count, 4)).astype(np.float32)
        arrays[name] = (("layer", "token", dim, "d_head"), values)
    arrays["k"][1][0, :, 1, 2] = 0  # a feature without a direction
    return xr.Dataset(arrays, {"layer": [3, 5]})


@pytest.mark.parametrize("few", [0, 128])
@pytest.mark.parametrize("center", [False, True])
def test_it_is_the_mean_square_of_blocks_of_the_matrix(dataset, monkeypatch, few, center):
    monkeypatch.setattr(heads, "FEW", few)
    selection = selection_of(12)
    found = heads.head_cosines(dataset, selection, center=center)
    whole = cosine_matrix(dataset, selection, center=center)
    names = np.repeat([f"Q{n}" for n in range(3)] + ["K0", "K1", "V0", "V1"], 4)
    for group in ("target", "control"):
        for layer in (3, 5):
            matrix = whole.sel(group=group, layer=layer).values.astype(np.float64)
            np.fill_diagonal(matrix, np.nan)
            for pair in range(found.sizes["head_pair"]):
                here = found.isel(head_pair=pair).sel(group=group, layer=layer)
                ends = (str(here[f"head_{end}"].values) for end in ("one", "other"))
                block = matrix[np.ix_(*(names == end for end in ends))]
                expected = np.sqrt(np.nanmean(block**2))
                np.testing.assert_allclose(float(here), expected, rtol=1e-4)


def test_building_computes_nothing_and_many_tokens_are_left_out(dataset, monkeypatch):
    lazy = dataset.chunk({"layer": 1})
    found = heads.head_cosines(lazy, selection_of(12))
    assert found.chunks
    monkeypatch.setattr(heads, "MANY", 5)
    assert bool(heads.head_cosines(dataset, selection_of(12)).isnull().all())

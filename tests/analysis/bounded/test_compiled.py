"""Tiles that are counted in machine code: the bins of NumPy, to the last pair."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actlas.analysis.cosine.compute import cosine_histograms
from actlas.analysis.kernels import tile_counts
from actlas.analysis.kernels.compiled import tile_counter
from actlas.analysis.kernels.cosine_tiles import count_cosines, directions
from actlas.analysis.kernels.tile_counts import TileCounts

pytest.importorskip("numba")
#: cosines, those on edges of bins, and what rounding puts beyond 1
COSINES = st.one_of(
    st.floats(-1, 1, width=32),
    st.sampled_from([-1.0000001, -1.0, -0.9, -0.02, 0.0, 0.02, 0.5, 0.9, 1.0, 1.0000001]),
)


def counted(monkeypatch, work):
    """What ``work`` returns compiled, and by NumPy."""
    compiled = work()
    monkeypatch.setattr(tile_counts, "tile_counter", lambda: None)
    plain = work()
    monkeypatch.undo()
    return compiled, plain


def assert_equal(one, other):
    np.testing.assert_array_equal(one.count, other.count)
    assert one.share_high == other.share_high or np.isnan(one.share_high)
    np.testing.assert_allclose(one.mean_abs, other.mean_abs, rtol=1e-5)


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=COSINES),
    st.sampled_from([1, 2, 7, 100, 253, 254, 1000]),
    st.booleans(),
)
def test_any_tile(tile, bins, triangle):
    assert tile_counter() is not None
    triangle = triangle and tile.shape[0] <= tile.shape[1]

    def count():
        tiles = TileCounts(bins)
        tiles.add(tile * tiles.scale, triangle=triangle)
        return tiles.found(0.0, 0.0, 9, 9)

    with pytest.MonkeyPatch.context() as patch:
        assert_equal(*counted(patch, count))


@pytest.mark.parametrize("bins", [10, 100, 300])
def test_features_of_several_tiles(monkeypatch, bins):
    generator = np.random.default_rng(1)
    left, right = (
        directions(generator.standard_normal((20, size), dtype=np.float32), center=False)
        for size in (430, 250)
    )
    for other in (None, right):
        assert_equal(*counted(monkeypatch, lambda other=other: count_cosines(left, other, bins)))


def test_the_study(monkeypatch):
    from tests.analysis.test_cosine import normal, selection_of

    dataset = normal(tokens=10).chunk({"layer": 1})
    compiled, plain = counted(
        monkeypatch, lambda: cosine_histograms(dataset, selection_of(10), bins=50).compute()
    )
    for name in ("count", "pairs", "undefined", "share_above_0.9", "mean", "std"):
        np.testing.assert_array_equal(compiled[name], plain[name])


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become someone else")
def test_without_a_folder_to_keep_the_code_in():
    """A user without a home, to whom the package's folder belongs as little."""
    program = (
        "import numba, os; numba.njit('int64(int64)')(lambda x: x)\n"
        "from actlas.analysis.kernels.compiled import tile_counter\n"
        "os.setuid(65534); counter = tile_counter(); print(counter is not None)"
    )
    environment = {**os.environ, "HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent"}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "True\n", done.stderr

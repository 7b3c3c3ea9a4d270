"""Figures: written in both formats, labelled, equal when made twice."""

import numpy as np
import pytest
import xarray as xr

from actlas.analysis import plots
from actlas.analysis.cosine import BLOCKS
from actlas.analysis.plots.cosine import OVERLAP
from actlas.analysis.plots.style import GROUP_COLOURS


@pytest.fixture
def result():
    generator = np.random.default_rng(0)
    features = generator.random((2, 3, 4, 2, 5))
    dims = ("group", "projection", "layer", "head", "d_head")
    coords = {"group": ["target", "control"], "projection": ["q", "k", "v"], "layer": np.arange(4)}
    variance = xr.DataArray(features, dims=dims, coords=coords)
    return xr.Dataset({"feature_variance": variance, "variance": variance.mean(("head", "d_head")), "x": ("pair", [1, 2, 3])})


def test_variance_profile_shows_the_numbers(result):
    figure = plots.variance_profile(result, "her")
    assert [panel.get_title() for panel in figure.axes] == ["Query Q", "Key K", "Value V"]
    for panel, projection in zip(figure.axes, "qkv", strict=True):
        lines = {line.get_color(): line.get_ydata() for line in panel.lines}
        for group, colour in GROUP_COLOURS.items():
            np.testing.assert_array_equal(lines[colour], result["variance"].sel(group=group, projection=projection))
        assert panel.get_xlabel() == "block"


def test_bootstrap_is_drawn(result):
    bounds = xr.concat([result["variance"] * 0.9, result["variance"] * 1.1], xr.Variable("bound", ["lower", "upper"]))
    figure = plots.variance_profile(result.assign(variance_bootstrap=bounds), "her")
    assert all(len(panel.containers) == 2 for panel in figure.axes)
    assert "bootstrap" in figure.get_suptitle()


@pytest.fixture(params=[3, 48], ids=["demo", "GPT-2 XL's layers"])
def cosines(request):
    generator = np.random.default_rng(0)
    coords = {"group": ["target", "control"], "block": list(BLOCKS), "layer": np.arange(request.param)}
    dims = tuple(coords)
    shape = tuple(len(values) for values in coords.values())
    count = generator.integers(0, 50, (*shape, 20))
    pairs = (dims, count.sum(-1))
    variables = {"count": ((*dims, "bin"), count), "pairs": pairs, "undefined": (dims, np.zeros(shape, dtype=int))}
    mean = {"mean_abs": (dims, generator.random(shape))}
    return xr.Dataset({**variables, **mean}, coords={**coords, "bin_edge": ("edge", np.linspace(-1, 1, 21))})


def test_histograms_show_the_shares(cosines):
    shares = cosines["count"] / cosines["pairs"]
    kinds = [(block, group) for block in BLOCKS for group in GROUP_COLOURS]
    heat, ridges = plots.cosine_heatmap(cosines, "her"), plots.cosine_ridgelines(cosines, "her")
    for axes, (block, group) in zip(heat.axes, kinds, strict=False):
        assert axes.get_title().startswith(block)
        np.testing.assert_allclose(axes.images[0].get_array(), shares.sel(block=block, group=group).transpose("layer", "bin"))
    tallest = float(shares.max()) ** 0.5
    for axes, (block, group) in zip(ridges.axes, kinds, strict=True):
        lowest = next(line for line in axes.lines if line.get_zorder() == cosines.sizes["layer"]).get_ydata()
        np.testing.assert_allclose(lowest, shares.sel(block=block, group=group, layer=0) ** 0.5 * OVERLAP / tallest)
    assert len(plots.cosine_profile(cosines, "her").axes) == len(BLOCKS)


def test_matrix_picture_outlines_the_blocks():
    values = np.random.default_rng(0).uniform(-1, 1, (2, 1200, 1200)).astype(np.float32)
    coords = {"group": ["target", "control"], "layer": 7}
    figure = plots.cosine_matrix(xr.DataArray(values, dims=("group", "feature", "other"), coords=coords), "her")
    panel = figure.axes[0]
    assert {text.get_text() for text in panel.texts} == set(BLOCKS)
    assert panel.images[0].get_array().shape == (600, 600)
    np.testing.assert_allclose(panel.images[0].get_array()[0, 0], values[0, :2, :2].mean(), rtol=1e-6)
    assert "layer 7" in panel.get_title()


def test_figures_are_written_reproducibly(result, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        paths = plots.save_figure(plots.variance_profile(result, "her"), tmp_path / folder / "variance.nc")
        assert [path.suffix for path in paths] == [".png", ".svg"]
    for kind in ("png", "svg"):
        assert (tmp_path / "one" / f"variance.{kind}").read_bytes() == (tmp_path / "two" / f"variance.{kind}").read_bytes()

"""Figures: written in both formats, labelled, equal when made twice."""

import numpy as np
import pytest
import xarray as xr

from actlas.analysis import plots


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
        for group, colour in plots.GROUP_COLOURS.items():
            np.testing.assert_array_equal(lines[colour], result["variance"].sel(group=group, projection=projection))
        assert panel.get_xlabel() == "block"


def test_figures_are_written_reproducibly(result, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        paths = plots.save_figure(plots.variance_profile(result, "her"), tmp_path / folder / "variance.nc")
        assert [path.suffix for path in paths] == [".png", ".svg"]
    for kind in ("png", "svg"):
        assert (tmp_path / "one" / f"variance.{kind}").read_bytes() == (tmp_path / "two" / f"variance.{kind}").read_bytes()

"""Figures of the whole matrix, and of effects: by layer, by dose, by group."""

import numpy as np
import pytest
import xarray as xr

from actlas.analysis import figures
from actlas.analysis.cosine.compute import PROJECTION_PAIRS
from actlas.analysis.cosine.matrix_figure import order_within_heads
from actlas.analysis.data.doses import varied


def test_matrix_picture_outlines_the_pairs_of_projections():
    values = np.random.default_rng(0).uniform(-1, 1, (2, 1200, 1200)).astype(np.float32)
    heads = {"q": 8, "k": 2, "v": 2}  # of 100 features each
    coords = {"group": ["target", "control"], "layer": 7}
    coords["projection"] = ("feature", np.repeat(list(heads), [800, 200, 200]))
    coords["head"] = (
        "feature",
        np.concatenate([np.arange(100 * n) // 100 for n in heads.values()]),
    )
    figure = figures.cosine_matrix(
        xr.DataArray(values, dims=("group", "feature", "other"), coords=coords), "her"
    )
    panel, _, difference, _ = figure.axes
    places = {text.get_text(): text.get_position() for text in panel.texts}
    assert set(places) == set(PROJECTION_PAIRS)
    assert places["QK"] == (900, 400)  # in the middle of its block
    assert panel.get_xticks().tolist() == [0, 800, 1000, 1200]
    assert "Q has 8 heads, K and V have 2" in figure.get_suptitle()
    picture = panel.images[0].get_array()
    assert picture.shape == (200, 200)
    assert picture.mask[np.tril_indices(200, -1)].all(), "the lower triangle is left out"
    order = order_within_heads(values[0], list(range(0, 1201, 100)))
    assert (order // 100 == np.arange(1200) // 100).all(), "features stay within their head"
    assert sorted(order) == list(range(1200))
    first, last = order[:6], order[-6:]
    corner = values[0][np.ix_(first, last)].mean()
    np.testing.assert_allclose(picture[0, -1], corner, rtol=1e-5)
    other = values[1][np.ix_(first, last)].mean()
    np.testing.assert_allclose(difference.images[0].get_array()[0, -1], corner - other, rtol=1e-4)
    assert "Layer 7" in figure.get_suptitle()


def test_alike_features_of_a_head_lie_side_by_side():
    signs = np.array([1, -1, 1, -1, 1, -1])
    order = order_within_heads(np.outer(signs, signs).astype(np.float32), [0, 6])
    assert abs(np.diff(signs[order])).sum() == 2


def test_scan_has_a_dot_for_every_layer_and_group():
    generator = np.random.default_rng(0)
    coords = {"layer": np.arange(4), "group": ["later tokens", "her", "rest"]}
    losses = xr.DataArray(generator.normal(size=(4, 6)), dims=("layer", "sentence"))
    groups = generator.normal(size=(4, 3))
    groups[:, 0] = np.nan  # that of all tokens has no number of its own
    variables = {"sentence_nll_change": losses, "nll_change": losses.mean("sentence")}
    result = xr.Dataset({**variables, "group_nll_change": (("layer", "group"), groups)}, coords)
    (panel,) = figures.redundant_layers(result).axes
    drawn = [line for line in panel.lines if line.get_marker() == "o"]
    expected = [losses.mean("sentence"), groups[:, 1], groups[:, 2]]
    for line, values in zip(drawn, expected, strict=True):
        np.testing.assert_allclose(line.get_ydata(), values)
        np.testing.assert_allclose(line.get_xdata(), np.arange(4), atol=0.5)
    assert [line.get_label() for line in drawn] == ["all predicted tokens", "her", "rest"]


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        (["skip:layer=1", "skip:layer=2", "skip:layer=30"], {"layer": [1, 2, 30]}),
        (["scale:layer=2,factor=0.5", "scale:layer=2,factor=2.0"], {"factor": [0.5, 2]}),
        (
            ["scale:layer=2,factor=1e-05", "scale:layer=3,factor=2.0"],
            {"layer": [2, 3], "factor": [1e-5, 2]},
        ),
        (["skip:layer=1", "zero:site=z,layer=1,head=2"], {}),
        (["skip:layer=1"], {}),
        (["zero:site=z,layer=1,neurons=0+4", "zero:site=z,layer=1,neurons=0+5"], {}),
    ],
)
def test_what_varies_is_read_from_the_edits(edits, expected):
    found = varied(edits)
    assert {name: numbers.tolist() for name, numbers in found.items()} == expected


def test_dose_response_has_a_line_for_each_layer():
    texts = [f"scale:layer={at},factor={factor}" for at in (1, 4) for factor in (0.5, 1.5, 2.0)]
    generator = np.random.default_rng(0)
    result = xr.Dataset(
        {
            "relative_delta": (("variant", "depth"), generator.random((6, 3))),
            "nll_change": ("variant", generator.random(6)),
        },
        {"edits": ("variant", texts), "depth": np.arange(3)},
    )
    loss, distance, _ = figures.dose_response(result).axes
    for panel, values in (
        (loss, result["nll_change"]),
        (distance, result["relative_delta"][:, -1]),
    ):
        lines = [line for line in panel.lines if len(line.get_xdata()) == 3]
        assert [line.get_xdata().tolist() for line in lines] == [[0.5, 1.5, 2.0]] * 2
        np.testing.assert_array_equal(
            np.concatenate([line.get_ydata() for line in lines]), values.values
        )

"""Figures: written in both formats, labelled, equal when made twice."""

import numpy as np
import pytest
import xarray as xr

from actlas.analysis import plots
from actlas.analysis.cosine.compute import PROJECTION_PAIRS
from actlas.analysis.cosine.figures import OVERLAP
from actlas.analysis.data.group_names import FIRST, LATER
from actlas.analysis.norms.compute import STATISTICS, WRITERS
from actlas.analysis.plots.style import PROJECTION_NAMES, group_colours

GROUP_COLOURS = group_colours(("target", "control"))


@pytest.fixture(params=["head", "kv_head"])
def result(request):
    generator = np.random.default_rng(0)
    coords = {"group": ["target", "control"], "layer": np.arange(4)}
    features, means = {}, []
    for projection, dim in {"q": "head", "k": request.param, "v": request.param}.items():
        values = generator.random((2, 4, 2 if dim == "head" else 1, 5))
        array = xr.DataArray(values, coords, ("group", "layer", dim, "d_head"))
        features[f"feature_variance_{projection}"] = array
        means.append(array.mean((dim, "d_head")))
    variance = xr.concat(means, xr.Variable("projection", ["q", "k", "v"]))
    return xr.Dataset({**features, "variance": variance, "x": ("pair", [1, 2, 3])})


def test_variance_profile_shows_the_numbers(result):
    figure = plots.variance_profile(result, "her")
    counts = ("", "", "")
    if "kv_head" in result.dims:
        counts = (" (2 heads)", " (1 head)", " (1 head)")
    titles = [
        f"{name}{heads}" for name, heads in zip(PROJECTION_NAMES.values(), counts, strict=True)
    ]
    assert [panel.get_title() for panel in figure.axes] == titles
    for panel, projection in zip(figure.axes, "qkv", strict=True):
        lines = {line.get_color(): line.get_ydata() for line in panel.lines}
        for group, colour in GROUP_COLOURS.items():
            np.testing.assert_array_equal(
                lines[colour], result["variance"].sel(group=group, projection=projection)
            )
        assert panel.get_xlabel() == "layer"


def test_bootstrap_is_drawn(result):
    bounds = xr.concat(
        [result["variance"] * 0.9, result["variance"] * 1.1],
        xr.Variable("bound", ["lower", "upper"]),
    )
    figure = plots.variance_profile(result.assign(variance_interval=bounds), "her")
    assert all(len(panel.containers) == 2 for panel in figure.axes)
    assert "bootstrap" in figure.get_suptitle()


@pytest.fixture(params=[3, 48], ids=["demo", "GPT-2 XL's layers"])
def cosines(request):
    generator = np.random.default_rng(0)
    coords = {
        "group": ["target", "control"],
        "projection_pair": list(PROJECTION_PAIRS),
        "layer": np.arange(request.param),
    }
    dims = tuple(coords)
    shape = tuple(len(values) for values in coords.values())
    count = generator.integers(0, 50, (*shape, 20))
    pairs = (dims, count.sum(-1))
    variables = {
        "count": ((*dims, "bin"), count),
        "pairs": pairs,
        "undefined": (dims, np.zeros(shape, dtype=int)),
    }
    mean = {"mean_abs": (dims, generator.random(shape))}
    return xr.Dataset(
        {**variables, **mean}, coords={**coords, "bin_edge": ("edge", np.linspace(-1, 1, 21))}
    )


def test_histograms_show_the_shares(cosines):
    shares = cosines["count"] / cosines["pairs"]
    kinds = [(pair, group) for pair in PROJECTION_PAIRS for group in GROUP_COLOURS]
    heat, ridges = plots.cosine_heatmap(cosines, "her"), plots.cosine_ridgelines(cosines, "her")
    for axes, (pair, group) in zip(heat.axes, kinds, strict=False):
        assert axes.get_title().startswith(pair)
        np.testing.assert_allclose(
            axes.images[0].get_array(),
            shares.sel(projection_pair=pair, group=group).transpose("layer", "bin"),
        )
    tallest = float(shares.max()) ** 0.5
    for axes, (pair, group) in zip(ridges.axes, kinds, strict=True):
        lowest = next(
            line for line in axes.lines if line.get_zorder() == cosines.sizes["layer"]
        ).get_ydata()
        np.testing.assert_allclose(
            lowest,
            shares.sel(projection_pair=pair, group=group, layer=0) ** 0.5 * OVERLAP / tallest,
        )
    assert len(plots.cosine_profile(cosines, "her").axes) == len(PROJECTION_PAIRS)


def test_matrix_picture_outlines_the_pairs_of_projections():
    values = np.random.default_rng(0).uniform(-1, 1, (2, 1200, 1200)).astype(np.float32)
    heads = {"q": 8, "k": 2, "v": 2}  # of 100 features each
    coords = {"group": ["target", "control"], "layer": 7}
    coords["projection"] = ("feature", np.repeat(list(heads), [800, 200, 200]))
    coords["head"] = (
        "feature",
        np.concatenate([np.arange(100 * n) // 100 for n in heads.values()]),
    )
    figure = plots.cosine_matrix(
        xr.DataArray(values, dims=("group", "feature", "other"), coords=coords), "her"
    )
    panel = figure.axes[0]
    corners = {
        text.get_text(): patch for text, patch in zip(panel.texts, panel.patches, strict=True)
    }
    assert corners["QK"].get_xy()[:4].tolist() == [[800, 0], [1000, 0], [1000, 800], [800, 800]]
    assert corners["VV"].get_xy()[:3].tolist() == [[1000, 1000], [1200, 1000], [1200, 1200]]
    assert panel.get_xticks().tolist() == [0, 800, 1000, 1200]
    assert "Q has 8 heads, K and V have 2" in panel.get_xlabel()
    assert {text.get_text() for text in panel.texts} == set(PROJECTION_PAIRS)
    assert panel.images[0].get_array().shape == (600, 600)
    np.testing.assert_allclose(
        panel.images[0].get_array()[0, 0], values[0, :2, :2].mean(), rtol=1e-6
    )
    assert "layer 7" in panel.get_title()


@pytest.fixture
def norms():
    """What ``norm_profile`` returns, of two sites with writers, one with heads and three groups."""
    generator = np.random.default_rng(0)
    groups, statistics = [FIRST, LATER, "kind=x"], list(STATISTICS)
    shapes = {
        "resid": ("depth",),
        "q": ("layer", "head"),
        "attn_out": ("layer",),
        "mlp_out": ("layer",),
        "final_norm": (),
    }
    sizes = {"depth": 4, "layer": 3, "head": 2}

    def drawn(*dims):
        return dims, generator.random(
            [len(groups) if dim == "group" else sizes.get(dim, 5) for dim in dims]
        ) + 0.1

    variables = {
        f"norm_{site}": drawn("group", *dims, "statistic") for site, dims in shapes.items()
    }
    variables |= {
        "step": drawn("group", "depth"),
        "std": drawn("group", "depth"),
        "tokens": ("group", [2, 7, 3]),
    }
    share = xr.DataArray(
        generator.random((2, 3, 3)),
        dims=("writer", "group", "layer"),
        coords={"writer": list(WRITERS)},
    )
    coords = {
        "group": groups,
        "statistic": statistics,
        "depth": np.arange(4),
        "layer": np.arange(3),
    }
    return xr.Dataset({**variables, "share": share}, coords=coords)


def test_norms_are_drawn(norms):
    stream, sites = plots.norm_stream(norms), plots.norm_sites(norms)
    median = norms["norm_resid"].sel(group=LATER, statistic="median")
    assert any(np.array_equal(line.get_ydata(), median) for line in stream.axes[0].lines)
    share = norms["share"].sel(writer="MLP", group=LATER)
    assert any(np.array_equal(line.get_ydata(), share) for line in stream.axes[3].lines)
    assert [panel.get_title() for panel in sites.axes] == [
        "resid",
        "q, mean over 2 heads",
        "attn_out",
        "mlp_out",
    ]
    of_heads = norms["norm_q"].mean("head").sel(group=LATER, statistic="median")
    np.testing.assert_array_equal(sites.axes[1].lines[0].get_ydata(), of_heads)
    groups = plots.norm_groups(norms, "q").axes[0]
    assert [line.get_label() for line in groups.lines] == [
        f"{LATER} (7 tokens)",
        "kind=x (3 tokens)",
    ]


def test_norms_without_writers_say_so(norms):
    alone = norms.drop_vars(["share", "norm_attn_out", "norm_mlp_out"])
    assert [len(panel.texts) for panel in plots.norm_stream(alone).axes] == [0, 1, 0, 1]


def test_reconstruction_and_pair_are_drawn():
    generator = np.random.default_rng(0)
    sums = {"relative_error": (("sum", "layer"), [[1e-8, 0.0, 1.0]])}
    of_pairs = {
        name: ("pair", generator.random(3))
        for name in ("laminar_correlation", "unmasked_correlation")
    }
    of_pairs |= {"excluded_share": ("pair", [0.1] * 3), "cut": ("pair", [1.0] * 3)}
    result = xr.Dataset(
        {**sums, **of_pairs}, {"sum": ["layer"], "layer": np.arange(3), "pair": np.arange(3)}
    )
    errors, laminar = plots.reconstruction_profile(result, edited=[2]).axes
    np.testing.assert_array_equal(errors.lines[0].get_ydata(), [1e-8, 1e-12, 1.0])
    assert errors.lines[1].get_label() == "edited"
    np.testing.assert_array_equal(laminar.lines[0].get_ydata(), result["laminar_correlation"])
    lower, upper = generator.normal(size=(2, 500))
    everything, masked, *_ = plots.depth_pair(lower, upper, result.sel(pair=1), "all").axes
    assert everything.collections[0].get_array().sum() == 500
    assert masked.collections[0].get_array().sum() == (np.maximum(abs(lower), abs(upper)) < 1).sum()
    assert masked.get_xlabel() == "residual stream at depth 1"


def test_figures_are_written_reproducibly(result, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        paths = plots.save_figure(
            plots.variance_profile(result, "her"), tmp_path / folder / "variance.nc"
        )
        assert [path.suffix for path in paths] == [".png", ".svg"]
    for kind in ("png", "svg"):
        assert (tmp_path / "one" / f"variance.{kind}").read_bytes() == (
            tmp_path / "two" / f"variance.{kind}"
        ).read_bytes()


@pytest.fixture(params=[2, 9], ids=["few", "many"])
def downstream(request):
    generator = np.random.default_rng(0)
    shape = (request.param, 5)
    names = [f"v{number}" for number in range(request.param)]
    step = generator.random(shape)
    step[:, 0], step[0, 2] = np.nan, 0.0
    variables = {
        name: (("variant", "depth"), generator.random(shape))
        for name in ("delta", "relative_delta", "std")
    }
    clean = {f"baseline_{kind}": ("depth", generator.random(5) * 100) for kind in ("step", "std")}
    coords = {
        "variant": names,
        "edits": ("variant", names),
        "first_depth": ("variant", np.arange(request.param)),
        "depth": np.arange(5),
    }
    change = ("variant", generator.normal(size=request.param))
    return xr.Dataset(
        {**variables, "step": (("variant", "depth"), step), **clean, "nll_change": change},
        coords=coords,
    )


def test_downstream_has_a_line_for_every_variant_and_marks_its_edit(downstream):
    figure = plots.downstream_delta(downstream)
    for panel, name in zip(figure.axes, ("delta", "relative_delta"), strict=True):
        lines = [line for line in panel.lines if len(line.get_xdata()) > 1]
        np.testing.assert_array_equal([line.get_ydata() for line in lines], downstream[name])
        marks = [line.get_xdata()[0] for line in panel.lines if len(line.get_xdata()) == 1]
        assert marks == [depth for depth in downstream["first_depth"].values if depth < 5]
        assert "depth" in panel.get_xlabel()
        assert "layer" in panel.get_xlabel()
    assert "nats" in figure.legends[0].get_texts()[0].get_text()


@pytest.mark.parametrize("kind", ["step", "std"])
def test_profiles_have_the_clean_run_beside_the_variants(downstream, kind):
    figure = plots.downstream_profile(downstream, kind)
    (panel,) = figure.axes
    clean = next(line for line in panel.lines if line.get_label() == "without edits")
    np.testing.assert_array_equal(clean.get_ydata(), downstream[f"baseline_{kind}"])
    assert panel.get_yscale() == ("symlog" if kind == "step" else "log")


def test_scan_has_a_bar_for_every_layer():
    generator = np.random.default_rng(0)
    losses = xr.DataArray(
        generator.normal(size=(4, 6)), dims=("layer", "sentence"), coords={"layer": np.arange(4)}
    )
    figure = plots.redundant_layers(
        xr.Dataset({"sentence_nll_change": losses, "nll_change": losses.mean("sentence")})
    )
    (panel,) = figure.axes
    np.testing.assert_allclose([bar.get_height() for bar in panel.patches], losses.mean("sentence"))

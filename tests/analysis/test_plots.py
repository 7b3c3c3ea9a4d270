"""Figures: written in both formats, labelled, equal when made twice."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgba

from actlas.analysis import figures
from actlas.analysis.cosine.compute import PROJECTION_PAIRS
from actlas.analysis.data.group_names import FIRST, LATER
from actlas.analysis.norms.compute import STATISTICS, WRITERS
from actlas.analysis.plots import save_figure
from actlas.analysis.plots.style import PROJECTION_NAMES, group_looks

GROUP_COLOURS = {name: look.colour for name, look in group_looks(("target", "control")).items()}


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
    figure = figures.variance_profile(result, "her")
    counts = ("", "", "")
    if "kv_head" in result.dims:
        counts = (" (2 heads)", " (1 head)", " (1 head)")
    titles = [
        f"{name}{heads}" for name, heads in zip(PROJECTION_NAMES.values(), counts, strict=True)
    ]
    assert [panel.get_title("left") for panel in figure.axes] == titles
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
    figure = figures.variance_profile(result.assign(variance_interval=bounds), "her")
    assert all(len(panel.containers) == 2 for panel in figure.axes)
    (legend,) = figure.legends
    assert any("bootstrap" in text.get_text() for text in legend.get_texts())


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
    heat, few = figures.cosine_heatmap(cosines, "her"), figures.cosine_layers(cosines, "her")
    panels = iter(heat.axes)
    for pair in PROJECTION_PAIRS:
        of_pair = shares.sel(projection_pair=pair).transpose("group", "layer", "bin")
        expected = [*of_pair.values, (of_pair[0] - of_pair[1]).values]
        for panel, values in zip(panels, expected, strict=False):
            np.testing.assert_allclose(panel.images[0].get_array(), values)
            if panel.get_subplotspec().is_last_col():
                break
    last = cosines["layer"].values[-1]
    for panel, pair in zip(few.axes, PROJECTION_PAIRS, strict=False):  # the last layer is on top
        for group, colour in GROUP_COLOURS.items():
            (drawn,) = (each for each in panel.patches if each.get_edgecolor() == to_rgba(colour))
            expected = shares.sel(projection_pair=pair, group=group, layer=last)
            np.testing.assert_allclose(drawn.get_data().values, np.maximum(expected, 1e-5))
    profile = figures.cosine_profile(cosines, "her")
    assert [panel.get_title("left") for panel in profile.axes] == list(PROJECTION_PAIRS)


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
    stream, sites = figures.norm_stream(norms), figures.norm_sites(norms)
    median = norms["norm_resid"].sel(group=LATER, statistic="median")
    assert any(np.array_equal(line.get_ydata(), median) for line in stream.axes[0].lines)
    share = norms["share"].sel(writer="MLP", group=LATER)
    assert any(np.array_equal(line.get_ydata(), share) for line in stream.axes[3].lines)
    assert [panel.get_title("left") for panel in sites.axes] == [
        "resid",
        "q, mean over 2 heads",
        "attn_out",
        "mlp_out",
    ]
    of_heads = norms["norm_q"].mean("head").sel(group=LATER, statistic="median")
    np.testing.assert_array_equal(sites.axes[1].lines[0].get_ydata(), of_heads)
    groups = figures.norm_groups(norms, "q").axes[0]
    assert [line.get_label() for line in groups.lines] == [
        f"{LATER} (7 tokens)",
        "kind=x (3 tokens)",
    ]


def test_norms_without_writers_say_so(norms):
    alone = norms.drop_vars(["share", "norm_attn_out", "norm_mlp_out"])
    assert [len(panel.texts) for panel in figures.norm_stream(alone).axes] == [0, 1, 0, 1]


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
    errors, laminar = figures.reconstruction_profile(result, edited=[2]).axes
    np.testing.assert_array_equal(errors.lines[0].get_ydata(), [1e-8, 1e-12, 1.0])
    assert errors.get_legend().get_texts()[-1].get_text() == "edited"
    np.testing.assert_array_equal(laminar.lines[0].get_ydata(), result["laminar_correlation"])
    lower, upper = generator.normal(size=(2, 500))
    everything, masked = figures.depth_pair(lower, upper, result.sel(pair=1), "all").axes
    assert everything.images[0].get_array().sum() == 500
    assert masked.images[0].get_array().sum() == (np.maximum(abs(lower), abs(upper)) < 1).sum()
    assert masked.get_xlabel() == "residual stream at depth 1"


def test_figures_are_written_reproducibly(result, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        paths = save_figure(
            figures.variance_profile(result, "her"), tmp_path / folder / "variance.nc"
        )
        assert [path.suffix for path in paths] == [".png", ".svg", ".pdf"]
    for kind in ("png", "svg", "pdf"):
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
    ).assign(tokens=4)


def test_downstream_has_a_line_for_every_variant_and_marks_its_edit(downstream):
    figure = figures.downstream_delta(downstream)
    shown = {"delta": downstream["delta"] / 2, "relative_delta": downstream["relative_delta"]}
    for panel, name in zip(figure.axes, shown, strict=False):
        lines = [line for line in panel.lines if len(line.get_xdata()) > 1]
        np.testing.assert_array_equal([line.get_ydata() for line in lines], shown[name])
        marks = [line.get_xdata()[0] for line in panel.lines if len(line.get_xdata()) == 1]
        assert marks == [depth for depth in downstream["first_depth"].values if depth < 5]
        assert "depth" in panel.get_xlabel()
        assert "layer" in panel.get_xlabel()
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    few = downstream.sizes["variant"] == 2
    assert ("nats" in texts[0]) == few  # many have a colour bar in place of a legend
    assert len(figure.axes) == (2 if few else 3)


@pytest.mark.parametrize("kind", ["step", "std"])
def test_profiles_have_the_clean_run_beside_the_variants(downstream, kind):
    figure = figures.downstream_profile(downstream, kind)
    panel, *_ = figure.axes
    clean = next(line for line in panel.lines if line.get_label() == "without edits")
    np.testing.assert_array_equal(
        clean.get_ydata(), downstream[f"baseline_{kind}"] / (2 if kind == "step" else 1)
    )
    assert panel.get_yscale() == ("symlog" if kind == "step" else "log")

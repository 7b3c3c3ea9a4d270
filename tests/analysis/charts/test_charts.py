"""Charts of every study: valid Vega-Lite, with the result's numbers, whatever its size."""

import json
import math

import altair as alt
import numpy as np
import pytest
import xarray as xr

from actlas.analysis import charts, registry
from actlas.analysis.data.group_looks import group_looks
from actlas.analysis.norms.tables import stream_table
from actlas.scripts.bench.common.results import STAGES, Sizes, synthetic_result
from actlas.scripts.charts.embedding import Datasets

#: the demo, GPT-2 XL, and more than a legend holds
SIZES = [
    Sizes(),
    Sizes(layers=48, heads=25),
    Sizes(layers=80, heads=3, variants=100, groups=tuple(f"g{n}" for n in range(3))),
    Sizes(layers=1, heads=1, variants=1, groups=("all tokens",), tokens=1),
]


def charts_of(stage, size):
    study = registry.find(stage)
    result = synthetic_result(stage, size)
    return study.charts(result), result


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("size", SIZES, ids=["demo", "XL", "many", "one"])
def test_a_chart_is_valid_and_its_numbers_are_short(stage, size):
    found, _ = charts_of(stage, size)
    assert "" in found
    for spec in found.values():
        few = {**spec, "datasets": {name: rows[:5] for name, rows in spec["datasets"].items()}}
        plain = json.loads(json.dumps(few, allow_nan=False))
        if size is SIZES[0] or "series" not in plain["usermeta"]["actlas"]:
            alt.Chart.from_dict(plain, validate=True)
        assert all(len(rows) for rows in spec["datasets"].values())
        for rows in spec["datasets"].values():
            for number in rows[-1].values():
                assert not isinstance(number, float) or len(f"{number:.15g}".strip("0.-")) <= 13


def test_studies_with_figures_have_charts():
    assert set(STAGES) == set(registry.names())


def test_the_numbers_are_those_of_the_result():
    found, result = charts_of("cosine", Sizes(layers=3))
    row = found[""]["datasets"]["rows"][123]
    at = {"projection_pair": row["projection_pair"], "layer": row["layer"]}
    group = {"target “her”": "target", "control: same position": "control"}[row["group"]]
    number = round((row["bin"] + 1) * 50 - 0.5)
    here = result.sel(at).sel(group=group)
    share = float(here["count"].isel(bin=number) / (here["pairs"] - here["undefined"]))
    assert math.isclose(row["share"], share, rel_tol=1e-4)
    assert math.isclose(row["mean"], float(here["mean_abs"]), rel_tol=1e-4)
    found, result = charts_of("variance", Sizes(layers=2))
    for row in found[""]["datasets"]["rows"]:
        group = "target" if row["group"].startswith("target") else "control"
        where = {"group": group, "projection": row["projection"][-1].lower(), "layer": row["layer"]}
        assert math.isclose(row["variance"], float(result["variance"].sel(where)), rel_tol=1e-4)
        low, high = result["variance_interval"].sel(where).values
        assert math.isclose(row["low"], low, rel_tol=1e-4)
        assert math.isclose(row["high"], high, rel_tol=1e-4)


def test_what_has_no_number_is_left_out():
    result = synthetic_result("scan")
    result["nll_change"][3] = np.nan
    result["group_nll_change"][:, 3] = np.nan
    spec = registry.find("scan").charts(result)[""]
    rows = spec["datasets"]["rows"]
    assert {row["layer"] for row in rows if row["change"] is not None} == {0, 1, 2, 4, 5, 6, 7}
    json.dumps(spec, allow_nan=False)


def test_many_variants_have_a_scale_of_colours_and_no_legend():
    few, _ = charts_of("downstream", Sizes(variants=8))
    many, _ = charts_of("downstream", Sizes(variants=9))
    assert len(few[""]["usermeta"]["actlas"]["series"]["names"]) == 8
    assert "series" not in many[""]["usermeta"]["actlas"]
    colour = many[""]["concat"][0]["encoding"]["color"]
    assert (colour["field"], colour["type"]) == ("number", "quantitative")
    (param,) = many[""]["params"]
    assert param["bind"]["options"][0] is None
    assert len(param["bind"]["options"]) == 10


def test_layers_that_are_not_in_a_row_are_chosen_from_a_list():
    spec = registry.find("cosine").charts(synthetic_result("cosine"))[""]
    assert spec["params"][0]["bind"]["input"] == "range"
    some = synthetic_result("cosine").isel(layer=[0, 3, 7])
    spec = registry.find("cosine").charts(some)[""]
    assert spec["params"][0]["bind"]["options"] == [0, 3, 7]


def test_words_of_the_data_are_no_markup_and_no_expression():
    evil = "</script><b>'+alert(1)+'\u2028\x00"
    result = synthetic_result("downstream")
    result["edits"] = ("variant", [evil] * result.sizes["variant"])
    spec = registry.find("downstream").charts(result)[""]
    page = Datasets()
    texts = [page.embed(spec), *page.texts.values()]
    assert all(sign not in text for text in texts for sign in "<>&\u2028\x00")
    names = {row["variant"] for row in spec["datasets"]["rows"]}
    assert len(names) == result.sizes["variant"]  # called alike, they stay apart
    lens = registry.find("lens").charts(synthetic_result("lens"))["words"]
    shown = json.dumps({**lens, "datasets": {}})
    assert "</script>" not in shown
    assert "</script>" in json.dumps(lens["datasets"])


def test_a_group_that_the_result_has_no_number_of_does_not_break_the_chart():
    result = synthetic_result("lens")
    result["mean_nll"][0] = np.nan
    result["mean_nll_interval"][:, 0] = np.nan
    spec = registry.find("lens").charts(result)[""]
    losses = [r for r in spec["datasets"]["rows"] if r["measure"] == "loss (nats)"]
    assert {row["group"] for row in losses} == {"control"}
    assert isinstance(result, xr.Dataset)


def test_norms_of_charts_are_those_of_a_token_as_in_the_tables():
    study, result = registry.find("downstream"), synthetic_result("downstream")
    found, (table, *_) = study.charts(result), study.tables(result)
    last = table.header.index(f"RMS at {int(result['depth'][-1])}")
    ends = [row["delta"] for row in found[""]["datasets"]["rows"] if row["depth"] == 8]
    np.testing.assert_allclose(ends, [row[last][1] for row in table.rows], rtol=1e-4)
    steps = result["step"] / float(result["tokens"]) ** 0.5
    shown = [row["step"] for row in found["step"]["datasets"]["rows"]]
    np.testing.assert_allclose(shown, steps.values.ravel(), rtol=1e-4)
    axes = [view["layer"][-1]["encoding"]["y"]["title"] for view in found[""]["concat"]]
    assert axes == ["‖h[d] − h′[d]‖ of a token (RMS)", "‖h[d] − h′[d]‖ / ‖h[d]‖"]
    whole = Sizes(groups=("first token", "later tokens"))
    study, result = registry.find("norms"), synthetic_result("norms", whole)
    table = stream_table(result)
    rows = study.charts(result)[""]["datasets"]["depths"]
    moved = [row["step"] for row in rows if row["group"] == "later tokens"]
    place = table.header.index("step")
    np.testing.assert_allclose(moved, [row[place][1] for row in table.rows], rtol=1e-4)


def test_groups_have_the_colours_of_the_figures():
    names = ("first token", "later tokens", "her", "him")
    spec = registry.find("lens").charts(synthetic_result("lens", Sizes(groups=names)))[""]
    scale = spec["spec"]["encoding"]["color"]["scale"]
    assert scale["domain"] == list(names)
    assert scale["range"] == [look.colour for look in group_looks(names).values()]
    assert scale["range"][1] == "#000000"
    assert spec["usermeta"]["actlas"]["series"]["colours"] == scale["range"]
    styles = spec["spec"]["layer"][-2]["encoding"]["strokeDash"]["scale"]["range"]
    assert [style == [1, 0] for style in styles] == [False, True, True, True]


def test_each_kind_of_figure_has_its_chart():
    kinds = {"downstream": {"", "step", "std", "dose", "groups", "loss"}}
    kinds |= {"histogram": {"", "distance"}, "lens": {"", "words", "loss"}}
    kinds |= {"attribute": {"", "heads", "neurons"}}
    for stage, expected in kinds.items():
        assert set(charts_of(stage, Sizes())[0]) == expected


def test_effects_by_dose_have_a_line_a_group_or_a_second_number():
    result = synthetic_result("downstream")
    spec = registry.find("downstream").charts(result)["dose"]
    rows = [row for row in spec["datasets"]["rows"] if row["group"] == "target"]
    assert [row["dose"] for row in rows] == [0, 1, 2, 3]
    changes = result["group_nll_change"].sel(group="target")
    np.testing.assert_allclose([row["nll_change"] for row in rows], changes, rtol=1e-4)
    (low, _) = result["group_nll_change_interval"].sel(group="target").transpose("bound", "variant")
    np.testing.assert_allclose([row["nll_change_low"] for row in rows], low, rtol=1e-4)
    doses = [f"scale:layer={layer},factor={factor}" for layer in (2, 3) for factor in (1, 2, 4)]
    result = synthetic_result("downstream", Sizes(variants=6))
    result["edits"] = ("variant", doses)
    spec = registry.find("downstream").charts(result)["dose"]
    assert spec["usermeta"]["actlas"]["series"]["names"] == ["layer 2", "layer 3"]
    assert {(row["line"], row["dose"]) for row in spec["datasets"]["rows"]} == {
        (f"layer {layer}", factor) for layer in (2, 3) for factor in (1, 2, 4)
    }


def test_neurons_and_tokens_of_charts_are_those_of_the_result():
    found, result = charts_of("attribute", Sizes())
    row = found["neurons"]["datasets"]["rows"][0]
    most = abs(result["mean_neuron"].sel(group="target")).max()
    assert math.isclose(abs(row["adds"]), float(most), rel_tol=1e-4)
    found, result = charts_of("lens", Sizes())
    rows = found["loss"]["datasets"]["rows"]
    losses = result["nll"].isel(depth=-1).values[: len(rows)]
    np.testing.assert_allclose([row["loss"] for row in rows], losses, rtol=1e-4)


def test_a_scan_shows_the_intervals_that_its_figure_shows():
    result = synthetic_result("scan")
    bounds = xr.concat([result["nll_change"] - 1, result["nll_change"] + 2], "bound")
    result["nll_change_interval"] = bounds.assign_coords(bound=["lower", "upper"])
    rows = registry.find("scan").charts(result)[""]["datasets"]["rows"]
    shown = [row for row in rows if row["group"] == "all predicted tokens"]
    np.testing.assert_allclose([row["high"] - row["change"] for row in shown], 2, rtol=1e-3)
    assert len({row["at"] for row in rows}) == len(rows)  # dots of a layer lie side by side


def test_an_axis_that_is_linear_around_0_has_ticks_of_both_sides():
    found = charts.scale_of([-0.3, 0.001, 0.002, 0.004, 5, 40, None])
    assert found["scale"] == "symlog"
    assert found["ticks"] == (-0.1, -0.01, -0.001, 0, 0.001, 0.01, 0.1, 1, 10)
    assert "ticks" not in charts.scale_of([0.1, 40])

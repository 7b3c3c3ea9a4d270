"""The first sentence of each study says what is in the numbers, and no more than intervals bear."""

import numpy as np
import pytest
import xarray as xr

from actlas.analysis.cosine import findings as cosine
from actlas.analysis.downstream import findings as downstream
from actlas.analysis.heads import findings as heads
from actlas.analysis.histogram import findings as histogram
from actlas.analysis.lens import findings as lens
from actlas.analysis.norms import findings as norms
from actlas.analysis.reconstruction import findings as reconstruction
from actlas.analysis.scan import findings as scan
from actlas.analysis.triangulation import findings as triangulation
from actlas.analysis.variance import findings as variance

BOUND = ["lower", "upper"]


def around(values, width):
    """Intervals of ``width`` to both sides, (bound, …)."""
    return np.stack([np.asarray(values) - width, np.asarray(values) + width])


class TestVariance:
    """Context enters where the ratio rises most, if intervals are apart."""

    def result(self, ratio, width, pairs=True):
        layers = len(ratio)
        shape = (2, 3, layers)
        data = {
            "variance": (("group", "projection", "layer"), np.full(shape, 0.5)),
            "variance_ratio": (("contrast", "layer"), [ratio]),
            "variance_ratio_interval": (("bound", "contrast", "layer"), around([ratio], width)),
        }
        coords = {"group": ["target", "control"], "projection": ["q", "k", "v"]}
        coords |= {"layer": range(layers), "contrast": ["target:control"], "bound": BOUND}
        result = xr.Dataset(data, coords, {"target": "her"})
        return result.assign(pair_target=("pair", [1])) if pairs else result

    def test_where_context_enters(self):
        assert variance.headline(self.result([0.002, 0.6, 1.1], 0.001)) == (
            "context enters 'her' mostly in layer 0: its variance in Q, K and V is "
            "0.002 [0.001, 0.003] of the control's there and 0.6 [0.599, 0.601] in layer 1, "
            "1.1 [1.1, 1.1] in layer 2"
        )

    def test_no_layer_is_named_where_intervals_overlap(self):
        line = variance.headline(self.result([0.8, 0.9, 1.0], 0.5))
        assert "enters" not in line
        assert line.endswith("in layer 2: there the two are not told apart")

    def test_groups_that_are_no_word_have_no_context(self):
        line = variance.headline(self.result([0.1, 0.9], 0.01, pairs=False))
        assert line.startswith("the variance of target in Q, K and V is 0.1")
        assert "that of control in layer 0" in line

    def test_one_group_alone_has_no_ratio(self):
        result = self.result([0.1, 0.2], 0.1, pairs=False)
        result = result.drop_vars(["variance_ratio", "variance_ratio_interval"]).isel(group=[0])
        assert variance.headline(result) == (
            "the variance of target in Q is 0.5 in layer 0 and 0.5 in layer 1"
        )


class TestScan:
    """Who costs most, and how little the others do."""

    def result(self, costs, width):
        data = {
            "nll_change": ("layer", costs),
            "nll_change_interval": (("bound", "layer"), around(costs, width)),
        }
        return xr.Dataset(data, {"layer": range(len(costs)), "bound": BOUND})

    def test_one_layer_stands_out(self):
        assert scan.headline(self.result([5.0, 0.2, 0.1], 0.4)) == (
            "skipping layer 0 costs 5 nats [4.6, 5.4] a token; every other layer +0.2 nats at most "
            "(layer 1)"
        )

    def test_what_costs_as_much_is_named_too(self):
        line = scan.headline(self.result([1.0, 0.8, 0.1, 0.1], 0.1))
        assert line.startswith("skipping layer 0 costs 1 nats [0.9, 1.1] a token, layer 1 0.8 nats")

    def test_many_that_cost_alike_are_counted(self):
        assert scan.headline(self.result([0.4, 0.5, 0.3, 0.1, 0.45], 0.05)) == (
            "no single layer stands out: skipping layer 1 costs most, 0.5 nats [0.45, 0.55] a "
            "token, and 3 of the other 4 cost at least half as much"
        )

    def test_no_layer_that_costs_is_none(self):
        assert scan.headline(self.result([-0.2, -0.1], 0.05)).startswith("no layer is needed")

    def test_costs_that_may_be_nothing_are_named(self):
        assert scan.undecided(self.result([5.0, 0.2, 0.1], 0.4)) == [
            "not told from 0: the cost of layers 1–2"
        ]
        assert scan.undecided(self.result([5.0], 0.4)) == [
            "the interval of no layer's cost includes 0"
        ]


class TestDownstream:
    """Which edit changes the loss most, and what becomes of it."""

    def result(self, changes, delta, width=0.01):
        count, depths = len(changes), len(delta)
        data = {
            "nll_change": ("variant", changes),
            "nll_change_interval": (("bound", "variant"), around(changes, width)),
            "relative_delta": (("variant", "depth"), np.tile(delta, (count, 1))),
            "first_depth": ("variant", [1] * count),
        }
        coords = {"depth": range(depths), "bound": BOUND}
        coords["edits"] = ("variant", [f"skip:layer={n}" for n in range(count)])
        return xr.Dataset(data, coords)

    def test_one_edit(self):
        assert downstream.headline(self.result([0.3], [0, 0.4, 0.2])) == (
            "skip:layer=0 raises the loss by 0.3 nats [0.29, 0.31]; the stream differs by 0.4 of "
            "its norm at depth 1, where the edit begins, and by 0.2 at depth 2: the difference "
            "shrinks to 50%"
        )

    def test_without_a_loss(self):
        result = self.result([0.3], [0, 0.4, 0.2])
        line = downstream.headline(result.drop_vars(["nll_change", "nll_change_interval"]))
        assert line.startswith("with skip:layer=0 the stream differs by 0.4 of its norm at depth 1")

    def test_a_loss_that_falls_keeps_its_interval_upright(self):
        line = downstream.headline(self.result([-0.3], [0, 0.4, 0.4]))
        assert line.startswith("skip:layer=0 lowers the loss by 0.3 nats [0.29, 0.31]")
        assert line.endswith("by 0.4 at depth 2")

    def test_several_edits(self):
        line = downstream.headline(self.result([0.3, -0.9, 0.004], [0, 0.4, 0.4]))
        assert line.startswith("of 3 edits, skip:layer=1 lowers the loss by 0.9 nats")
        assert line.endswith(
            "least: skip:layer=2 changes the loss by 0.004 nats [-0.006, 0.014], not told from 0"
        )


def test_cosines_fall():
    values = [[0.9, 0.4], [0.2, 0.3]]
    data = {
        "overall_abs": (("group", "layer"), values),
        "overall_abs_interval": (("bound", "group", "layer"), around(values, 0.01)),
        "chance": ("group", [0.109, 0.109]),
        "pair_target": ("pair", [1]),
    }
    coords = {"group": ["target", "control"], "layer": [0, 7], "bound": BOUND}
    assert cosine.headline(xr.Dataset(data, coords, {"target": "her"})) == (
        "mean |cosine| between features of Q, K and V over the contexts of 'her' falls from "
        "0.9 [0.89, 0.91] in layer 0 (the control: 0.2) to 0.4 [0.39, 0.41] in layer 7 "
        "(the control: 0.3); unrelated features would have 0.109"
    )


def test_heads_are_ranked_and_few_queries_come_last():
    kinds = ["previous", "first", "duplicate", "induction"]
    score = np.zeros((4, 2, 2))
    score[0, 1, 0], score[1, 0, 1], score[2, 0, 0] = 0.5, 0.9, 0.95
    data = {
        "score": (("kind", "layer", "head"), score),
        "uniform": (("kind", "layer", "head"), np.full_like(score, 0.1)),
        "excess": (("kind", "layer", "head"), score - 0.1),
        "queries": (("kind", "layer"), np.array([[100] * 2, [100] * 2, [5] * 2, [0] * 2])),
    }
    found = heads.of_heads(xr.Dataset(data, {"kind": kinds, "layer": [3, 4]}))
    assert found == [
        "L3H1 gives the first token 90% of its attention, where uniform attention would give 10% "
        "(100 queries)",
        "L4H0 gives the token before 50% of its attention, where uniform attention would give 10% "
        "(100 queries)",
        "L3H0 gives earlier occurrences of the token 95% of its attention, where uniform attention "
        "would give 10% (of 5 queries only)",
    ]


def test_histograms_say_how_far_values_spread():
    data = {"std": (("group", "depth"), [[0.5, 2.0]]), "distance": (("group", "depth"), [[0, 0]])}
    result = xr.Dataset(data, {"group": ["all tokens"], "depth": [0, 1]}, {"site": "resid"})
    assert histogram.headline(result, "depth") == (
        "resid: standard deviation of all tokens 0.5 at depth 0, 2 at depth 1 (4 times as wide)"
    )
    assert histogram.farthest(result, "depth") == []


def test_the_lens_says_from_where_the_word_stands():
    losses = np.array([[9.0, 9.0], [4.0, 4.0], [3.0, 3.0]])
    data = {"nll": (("depth", "token"), losses), "agreement": ("depth", [0.1, 0.6, 1.0])}
    result = xr.Dataset(data, {"depth": range(3)})
    assert lens.headline(result) == (
        "from depth 1 of 2 on, the model's first choice is the final one for 60% of tokens or "
        "more; the loss falls most between depths 0 and 1, by 5 nats of 6 in all"
    )
    result["agreement"][1] = 0.2
    assert lens.headline(result).startswith(
        "the first choice is settled at depth 2 alone, the last: at depth 1 it is for 20%"
    )


@pytest.mark.parametrize(
    ("medians", "said"),
    [([1.0, 8.0], "grows 8-fold"), ([8.0, 2.0], "shrinks to 25%"), ([0.0, 2.0], "median norm of")],
)
def test_norms_say_how_the_stream_grows(medians, said):
    values = np.array(medians)[None, :, None]
    coords = {"group": ["all tokens"], "depth": [0, 1], "statistic": ["median"]}
    result = xr.Dataset({"norm_resid": (("group", "depth", "statistic"), values)}, coords)
    assert said in norms.headline(result)


def test_the_layer_that_changes_the_stream_most():
    result = xr.Dataset({"laminar_correlation": ("pair", [0.9, 0.3, np.nan])}, {"pair": range(3)})
    assert reconstruction.change_line(result) == [
        "layer 1 changes the residual stream most: its input and its output correlate least, "
        "r = 0.3000 with the largest values left out; in every other layer 0.9000 or more"
    ]


@pytest.mark.parametrize("same", [True, False])
def test_heads_that_two_looks_name(same):
    adds, costs = np.zeros((1, 2, 2)), np.zeros((1, 2, 2))
    adds[0, 1, 0], costs[0, 1, 0 if same else 1] = 2.0, 5.0
    dims = ("group", "layer", "head")
    data = {"attribution": (dims, adds), "ablation": (dims, costs), "tokens": ("group", [9])}
    coords = {"group": ["all tokens"], "layer": [0, 1]}
    (line,) = triangulation.headline(xr.Dataset(data, coords, {"asked": "' her'"}))
    if same:
        assert line == (
            "L1H0 both adds most to the logit of ' her': +2, and costs most when it is removed (+5)"
        )
    else:
        assert line.endswith("but removing L1H1 costs most (+5)")

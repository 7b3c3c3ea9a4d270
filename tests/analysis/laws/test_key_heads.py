"""Fewer heads of keys and values than of queries."""

import numpy as np
import pytest

from actlas.analysis import figures, registry
from actlas.analysis.data.sites import heads_in_words
from actlas.analysis.data.tokens import Target, select_tokens
from actlas.analysis.groups import select_groups
from actlas.analysis.groups.resampling import bounds, resampling
from actlas.analysis.norms.compute import norm_profile
from actlas.analysis.norms.figures import norm_sites
from actlas.analysis.variance.compute import PROJECTIONS, variance_draws, variance_profile
from tests.analysis.laws.asking import found, words
from tests.store.laws import SIZES

LAWS = ("add", "parallel", "post")


@pytest.mark.parametrize("law", ["parallel"], indirect=True)
class TestFewerKeyHeads:
    """Keys and values have two heads, queries eight."""

    def test_variance_is_that_of_each_projections_own_features(self, run, content):
        dataset = run.dataset(PROJECTIONS)
        selection = select_tokens(dataset, Target("her"))
        result = variance_profile(dataset, selection).compute()
        for projection, heads in zip(PROJECTIONS, ("head", "kv_head", "kv_head"), strict=True):
            features = result[f"feature_variance_{projection}"]
            assert features.dims == ("group", "layer", heads, "d_head")
            assert features.sizes[heads] == SIZES[heads]
            for group in ("target", "control"):
                rows = content.values[projection][:, words(group)].astype(np.float64)
                plain = ((rows - rows.mean(1, keepdims=True)) ** 2).sum(1) / (rows.shape[1] - 1)
                where = {"group": group, "projection": projection}
                np.testing.assert_allclose(features.sel(group=group), plain, rtol=1e-9)
                np.testing.assert_allclose(
                    result["variance"].sel(where), plain.mean((1, 2)), rtol=1e-9
                )
                np.testing.assert_allclose(
                    result["mean"].sel(where), rows.mean((1, 2, 3)), rtol=1e-6, atol=1e-9
                )

    def test_bootstrap_is_of_each_projections_own_features(self, run, content):
        dataset = run.dataset(PROJECTIONS)
        selection = select_tokens(dataset, Target("her"))
        drawn = resampling(selection.clusters, resamples=60, seed=5)
        limits = bounds(variance_draws(dataset, selection, drawn)).compute()
        draws = np.random.default_rng(5).multinomial(6, np.full(6, 1 / 6), 60)
        for projection in PROJECTIONS:
            rows = content.values[projection][1, words("target")].astype(np.float64)
            variances = []
            for draw in draws:
                drawn = rows.repeat(draw, axis=0)
                variances.append(drawn.var(0, ddof=1).mean())
            got = limits.sel(group="target", projection=projection, layer=1)
            np.testing.assert_allclose(got, np.percentile(variances, [2.5, 97.5]), rtol=1e-9)

    @pytest.mark.slow
    def test_heads_are_said_in_findings_tables_and_figures(self, run):
        for name in ("variance", "cosine"):
            done = found(run, name, target="her")
            assert any("Q has 8 heads, K and V have 2" in line for line in done.findings)
            table = registry.find(name).tables(done.result)[0]
            assert "Q has 8 heads, K and V have 2" in table.caption
        figure = figures.variance_profile(found(run, "variance", target="her").result, "her")
        assert [panel.get_title(loc="left") for panel in figure.axes][1:] == [
            "Key K (2 heads)",
            "Value V (2 heads)",
        ]

    @pytest.mark.slow
    def test_pairs_of_cosines_are_counted_by_the_features_there_are(self, run):
        result = found(run, "cosine", target="her", bins=10).result
        queries, keys = 8 * 3, 2 * 3
        pairs = result["pairs"].sel(group="target", layer=0).to_series().to_dict()
        assert pairs == {
            "QQ": queries * (queries - 1) // 2,
            "KK": keys * (keys - 1) // 2,
            "VV": keys * (keys - 1) // 2,
            "QK": queries * keys,
            "QV": queries * keys,
            "KV": keys * keys,
        }

    def test_norms_are_of_each_head(self, run, content):
        dataset = run.dataset(("q", "k", "z"))
        groups = select_groups(dataset, first_token="group", every=True)
        result = norm_profile(dataset, groups, sums=True).compute()
        for site, heads in (("q", "head"), ("k", "kv_head"), ("z", "head")):
            assert result[f"norm_{site}"].dims == ("group", "layer", heads, "statistic")
            norms = np.linalg.norm(content.values[site].astype(np.float64), axis=-1)
            later = norms[:, groups["later tokens"]]  # (layer, token, head)
            got = result[f"norm_{site}"].sel(group="later tokens", statistic="mean")
            np.testing.assert_allclose(got, later.mean(1), rtol=3e-7)
        titles = {panel.get_title(loc="left") for panel in norm_sites(result).axes}
        assert {"q, mean over 8 heads", "k, mean over 2 heads"} <= titles

    def test_values_of_keys_are_all_counted(self, run, content):
        result = found(run, "histogram", site="k", bins=20).result
        later = content.labels.token["position"] > 0
        keys = content.values["k"][:, later].astype(np.float64).reshape(SIZES["layer"], -1)
        np.testing.assert_allclose(
            result["mean"].sel(group="later tokens"), keys.mean(1), rtol=1e-6, atol=1e-9
        )
        np.testing.assert_allclose(result["std"].sel(group="later tokens"), keys.std(1), rtol=1e-9)


def test_heads_in_words():
    assert heads_in_words({"q": 4, "k": 4, "v": 4}) == ""
    assert heads_in_words({"q": 4, "k": 1, "v": 1}) == "Q has 4 heads, K and V have 1"
    assert heads_in_words({"q": 1, "k": 2}) == "Q has 1 head, K has 2"

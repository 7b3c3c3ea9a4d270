"""Studies of models of other laws, with fewer key heads, and that are not causal.

Runs come from the store; what they should give is worked out from the arrays in plain NumPy.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr

from actlas.analysis import plots, registry
from actlas.analysis.data.groups import token_groups
from actlas.analysis.data.sites import heads_in_words
from actlas.analysis.data.tokens import Target, select_tokens
from actlas.analysis.declaring import PlannedRun, Subject
from actlas.analysis.declaring.laws import absent
from actlas.analysis.norms.compute import norm_profile
from actlas.analysis.norms.figures import norm_sites, norm_stream
from actlas.analysis.reconstruction.compute import ATTENTION, MLP, WHOLE, broken
from actlas.analysis.reconstruction.declaration import ReconstructOptions
from actlas.analysis.variance.compute import PROJECTIONS, variance_bootstrap, variance_profile
from actlas.scripts.analyses.asked import Asked
from actlas.store.errors import UsageError
from tests.store.laws import SIZES, TEXTS, LawContent, run_of, sites_of, variant_of

LAWS = ("add", "parallel", "post")


def asked(run, name, *variants, **options):
    study = registry.find(name)
    return Asked(study, study.options(**options), run, variants)


@dataclass(frozen=True)
class Found:
    """What a study finds of a run, without its figures, which take the longest."""

    result: xr.Dataset
    subject: Subject
    findings: list[str]
    holds: bool


def found(run, name, *variants, **options):
    question = asked(run, name, *variants, **options)
    study, subject = question.study, question.subject
    lazy = study.compute(subject, question.options)
    result = lazy.compute().assign_attrs(lazy.attrs | question.recorded)
    holds = all(check.holds for check in study.checks(result))
    return Found(result, subject, study.findings(result, subject), holds)


@pytest.fixture(params=LAWS)
def law(request):
    return request.param


@pytest.fixture
def content(law):
    return LawContent(law=law, causal=law != "post")


@pytest.fixture
def run(tmp_path, content):
    return run_of(tmp_path / "store", content)


def words(groups):
    """Return the tokens of "her" and those before them, from the texts alone."""
    split = [text.split() for text in TEXTS]
    starts = np.cumsum([0, *map(len, split)])
    her = [start + words.index("her") for start, words in zip(starts, split, strict=False)]
    return {"target": np.array(her), "control": np.array(her) - 1}[groups]


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
        bounds = variance_bootstrap(dataset, selection, resamples=60, seed=5).compute()
        draws = np.random.default_rng(5).multinomial(6, np.full(6, 1 / 6), 60)
        for projection in PROJECTIONS:
            rows = content.values[projection][1, words("target")].astype(np.float64)
            variances = []
            for draw in draws:
                drawn = rows.repeat(draw, axis=0)
                variances.append(drawn.var(0, ddof=1).mean())
            got = bounds.sel(group="target", projection=projection, layer=1)
            np.testing.assert_allclose(got, np.percentile(variances, [2.5, 97.5]), rtol=1e-9)

    def test_heads_are_told_in_findings_tables_and_figures(self, run):
        for name in ("variance", "cosine"):
            done = found(run, name, target="her")
            assert any("Q has 8 heads, K and V have 2" in line for line in done.findings)
            table = registry.find(name).tables(done.result)[0]
            assert "Q has 8 heads, K and V have 2" in table.caption
        figure = plots.variance_profile(found(run, "variance", target="her").result, "her")
        assert [panel.get_title() for panel in figure.axes][1:] == [
            "Key K (2 heads)",
            "Value V (2 heads)",
        ]

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
        groups = token_groups(dataset)
        result = norm_profile(dataset, groups, sums=True).compute()
        for site, heads in (("q", "head"), ("k", "kv_head"), ("z", "head")):
            assert result[f"norm_{site}"].dims == ("group", "layer", heads, "statistic")
            norms = np.linalg.norm(content.values[site].astype(np.float64), axis=-1)
            later = norms[:, groups["later tokens"]]  # (layer, token, head)
            got = result[f"norm_{site}"].sel(group="later tokens", statistic="mean")
            np.testing.assert_allclose(got, later.mean(1), rtol=3e-7)
        titles = {panel.get_title() for panel in norm_sites(result).axes}
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


class TestReconstruct:
    """Blocks are judged by the law of the run's record."""

    @pytest.mark.parametrize("law", ["add", "parallel"], indirect=True)
    def test_a_sum_holds(self, run, law, content):
        done = found(run, "reconstruct")
        assert done.holds
        assert done.findings[0].startswith("holds to the rounding of float32 at every layer")
        sums = [WHOLE, ATTENTION, MLP] if law == "add" else [WHOLE]
        assert done.result["sum"].values.tolist() == sums
        output = content.values["resid"][1:].astype(np.float64)
        parts = content.values["resid"][:-1].astype(np.float64)
        parts = parts + content.values["attn_out"] + content.values["mlp_out"]
        error = np.abs(output - parts).max((1, 2))
        np.testing.assert_allclose(done.result["max_abs_error"].sel(sum=WHOLE), error, rtol=1e-9)

    @pytest.mark.parametrize("law", ["add", "parallel"], indirect=True)
    def test_a_part_that_is_missing_from_the_sum_is_found(self, tmp_path, law):
        class Altered(LawContent):
            @property
            def values(self):
                values = {name: array.copy() for name, array in super().values.items()}
                values["mlp_out"][1, 4, 2] += np.float32(0.01)
                return values

        done = found(run_of(tmp_path / "store", Altered(law=law)), "reconstruct")
        assert not done.holds
        assert (WHOLE, 1) in broken(done.result)
        assert (WHOLE, 0) not in broken(done.result)
        assert "dimension 2" in done.findings[0]

    def test_halves_of_a_parallel_block_are_not_judged(self, tmp_path):
        """A run that says it has such a site anyway does not get a claim about it."""
        sites = dict.fromkeys((*sites_of("parallel"), "resid_mid"), "float32")
        run = run_of(tmp_path / "store", LawContent(law="parallel", dtypes=sites))
        done = found(run, "reconstruct")
        assert done.holds
        assert done.result["sum"].values.tolist() == [WHOLE]

    @pytest.mark.parametrize("law", ["post"], indirect=True)
    def test_a_layer_norm_behind_the_sum_is_refused(self, run):
        with pytest.raises(UsageError) as caught:
            found(run, "reconstruct")
        assert str(caught.value) == (
            "run it: its model has no sums to check: a LayerNorm follows each sum, whose weights "
            "are not stored; --depths-only correlates consecutive depths alone"
        )

    def test_depths_are_correlated_under_any_law(self, run, content):
        done = found(run, "reconstruct", depths_only=True, quantile=1.0)
        assert done.holds
        assert "sum" not in done.result.dims
        assert done.findings[0].startswith("least alike are depths")
        stream = content.values["resid"].astype(np.float64)
        for depth in range(SIZES["layer"]):
            r = np.corrcoef(stream[depth].ravel(), stream[depth + 1].ravel())[0, 1]
            got = float(done.result["unmasked_correlation"].sel(pair=depth))
            np.testing.assert_allclose(got, r, atol=1e-9)
        study = registry.find("reconstruct")
        assert [table.header[0] for table in study.tables(done.result)] == ["depth d"]
        assert study.overview(done.result, done.subject)[0].header[0] == "depth d"
        assert study.checks(done.result) == []

    @pytest.mark.parametrize("record", [{}, {"law": "sum"}])
    def test_a_law_that_is_not_known_is_refused(self, tmp_path, record):
        run = run_of(tmp_path / "store", LawContent(record=record))
        with pytest.raises(UsageError, match=r"has no sums to check: law '.*is none of add"):
            found(run, "reconstruct")

    def test_a_study_file_is_refused_before_anything_runs(self):
        study = registry.find("reconstruct")
        planned = PlannedRun(3, (), (), lambda: None, "post", False)
        with pytest.raises(UsageError, match="the model has no sums to check"):
            study.check(ReconstructOptions(), planned)
        study.check(ReconstructOptions(depths_only=True), planned)


class TestNorms:
    """Steps are those of the stream; shares are told where blocks are sums."""

    def test_steps_are_those_of_the_stream(self, run, content):
        result = found(run, "norms").result
        stream = content.values["resid"].astype(np.float64)
        later = content.labels.token["position"] > 0
        for depth in range(1, SIZES["depth"]):
            step = np.linalg.norm((stream[depth] - stream[depth - 1])[later])
            got = float(result["step"].sel(group="later tokens", depth=depth))
            np.testing.assert_allclose(got, step, rtol=1e-9)

    @pytest.mark.parametrize("law", ["add", "parallel"], indirect=True)
    def test_shares_add_up_to_one(self, run, content, law):
        done = found(run, "norms")
        assert ("norm_resid_mid" in done.result) == (law == "add")
        stream = content.values["resid"].astype(np.float64)
        size = (stream[1:] ** 2).sum(-1)
        kept = (stream[:-1] * stream[1:]).sum(-1) / size
        later = content.labels.token["position"] > 0
        total = done.result["share"].sel(group="later tokens").sum("writer")
        np.testing.assert_allclose(total + kept[:, later].mean(-1), 1, rtol=1e-5)
        attention = (content.values["attn_out"] * stream[1:]).sum(-1) / size
        got = done.result["share"].sel(group="later tokens", writer="attention")
        np.testing.assert_allclose(got, attention[:, later].mean(-1), rtol=1e-6)

    @pytest.mark.parametrize("law", ["post"], indirect=True)
    def test_nothing_has_a_share_behind_a_layer_norm(self, run, content):
        done = found(run, "norms")
        assert "share" not in done.result
        why = "no shares of what attention and MLP write: a LayerNorm follows each sum"
        assert why in done.findings
        norms = np.linalg.norm(content.values["attn_out"].astype(np.float64), axis=-1)
        first = content.labels.token["position"] == 0
        got = done.result["norm_attn_out"].sel(group="first token", statistic="largest")
        np.testing.assert_allclose(got, norms[:, first].max(-1), rtol=3e-7)
        panel = norm_stream(done.result, "post").axes[3]
        assert [text.get_text() for text in panel.texts] == ["none: a LayerNorm follows each sum"]

    def test_the_caption_says_what_a_step_is(self, run, law):
        done = found(run, "norms")
        study = registry.find("norms")
        note = study.figures(done.result, done.subject, study.options())[""][1].note
        part = {
            "add": "what attention adds, and then the MLP, which reads the sum",
            "parallel": "which read the same input",
            "post": "the LayerNorms behind its two sums included",
        }
        assert part[law] in note

    def test_outliers_are_the_largest_values(self, run, content):
        result = found(run, "norms", sites=("resid",), outliers=2).result
        later = content.labels.token["position"] > 0
        largest = np.abs(content.values["resid"][:, later]).max()
        assert abs(float(result["outlier_value"].sel(part="later tokens")[0])) == largest


class TestMasked:
    """A model that is not causal has no next-token loss, and context on both sides."""

    @pytest.mark.parametrize("law", ["post"], indirect=True)
    def test_downstream_leaves_the_loss_out(self, run, content, tmp_path):
        variant = variant_of(tmp_path / "store", run, content)
        done = found(run, "downstream", variant)
        assert "nll_change" not in done.result
        assert not any("loss" in line for line in done.findings)
        (table,) = registry.find("downstream").tables(done.result)
        assert not any("loss" in name for name in table.header)
        assert all(len(row) == len(table.header) for row in table.rows)
        before, after = (each.dataset(("resid",))["resid"].values for each in (run, variant))
        later = content.labels.token["position"] > 0
        wide = (before.astype(np.float64) - after)[:, later]
        np.testing.assert_allclose(
            done.result["delta"].isel(variant=0), np.linalg.norm(wide, axis=(1, 2)), rtol=1e-9
        )

    @pytest.mark.parametrize("law", ["add", "parallel"], indirect=True)
    def test_downstream_tells_the_loss_where_there_is_one(self, run, content, tmp_path):
        variant = variant_of(tmp_path / "store", run, content)
        done = found(run, "downstream", variant)
        (table,) = registry.find("downstream").tables(done.result)
        assert "Δ loss (nats)" in table.header
        assert all(len(row) == len(table.header) for row in table.rows)

    @pytest.mark.parametrize("law", ["post"], indirect=True)
    def test_scan_says_why_it_cannot(self, run, content, tmp_path):
        variant = variant_of(tmp_path / "store", run, content)
        with pytest.raises(UsageError) as caught:
            found(run, "scan", variant)
        assert str(caught.value) == (
            "run it has no site nll: its model sees both sides of a token, so there is no "
            "next-token loss (`actlas downstream` compares variants without it)"
        )

    @pytest.mark.parametrize("name", ["variance", "cosine"])
    def test_context_is_on_both_sides(self, run, law, name):
        findings = found(run, name, target="her").findings
        assert any("before and after" in line for line in findings) == (law == "post")


@pytest.mark.parametrize(
    ("site", "law", "causal"),
    [("resid_mid", "parallel", True), ("final_norm", "post", False), ("nll", "add", False)],
)
def test_a_site_that_a_model_cannot_have_is_told_apart_from_one_that_is_not_stored(
    tmp_path, site, law, causal
):
    assert absent(site, law, causal)
    assert not absent(site, "add", True)
    assert not absent("resid", law, causal)


def test_the_record_is_part_of_what_a_result_is_of(tmp_path):
    """Two runs of one id whose records differ have different results."""
    runs = {}
    for law in ("add", "parallel"):
        runs[law] = run_of(tmp_path / law, LawContent(law="add", record={"law": law}))
    assert runs["add"].id == runs["parallel"].id
    questions = {
        (name, law): asked(run, name, **({"target": "her"} if name == "variance" else {})).question
        for law, run in runs.items()
        for name in ("norms", "variance", "histogram")
    }
    assert len({question.digest for question in questions.values()}) == len(questions)
    assert questions["norms", "parallel"].options["law"] == "parallel"
    assert questions["norms", "add"].options["causal"] is True

"""Sums and norms under each law."""

import numpy as np
import pytest

from actlas.analysis import registry
from actlas.analysis.declaring import PlannedRun
from actlas.analysis.norms.figures import norm_stream
from actlas.analysis.reconstruction.compute import ATTENTION, MLP, WHOLE, broken
from actlas.analysis.reconstruction.declaration import ReconstructOptions
from actlas.store.errors import UsageError
from tests.analysis.laws.asking import found
from tests.store.laws import SIZES, LawContent, run_of, sites_of

LAWS = ("add", "parallel", "post")


class TestReconstruct:
    """Blocks are judged by the law of the run's record."""

    @pytest.mark.parametrize("law", ["add", "parallel"], indirect=True)
    def test_a_sum_holds(self, run, law, content):
        done = found(run, "reconstruct")
        assert done.holds
        holds = "holds to the rounding of float32 at every layer"
        assert any(line.startswith(holds) for line in done.findings)
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
        assert "changes the residual stream most" in done.findings[0]
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
    """Steps are those of the stream; shares are given where blocks are sums."""

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

"""Models that see the whole sentence; sites that a model cannot have."""

import numpy as np
import pytest

from actlas.analysis import registry
from actlas.analysis.declaring.laws import absent
from actlas.store.errors import UsageError
from tests.analysis.laws.asking import asked, found
from tests.store.laws import LawContent, run_of, variant_of

LAWS = ("add", "parallel", "post")


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
        assert "change of loss" in table.header
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
def test_a_site_that_a_model_cannot_have_is_distinguished_from_one_that_is_not_stored(
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

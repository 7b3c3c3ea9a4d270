"""Attribution, ablation and attention of heads side by side."""

import numpy as np
import pytest

from actlas.analysis import registry
from actlas.analysis.attribution.asking import AnswerOptions
from actlas.analysis.attribution.compute import Answers, attribution, logit_differences
from actlas.analysis.declaring import PlannedRun
from actlas.analysis.groups import select_groups
from actlas.analysis.triangulation.compute import triangulation
from actlas.analysis.triangulation.declaration import zeroed_head
from actlas.store.errors import UsageError
from actlas.store.format.edit_records import EditRecord
from tests.analysis.laws.asking import asked

TOKENS = np.array([2, 6, 9, 15])
ANSWERS = Answers(TOKENS, np.full(4, 7), np.full(4, 9))
SITES = ("resid", "attn_out", "mlp_out", "z", "pattern")


def every_asked(dataset):
    return select_groups(dataset, first_token="include", every=True).among(TOKENS)


def without_head(model, layer, head):
    """Return the stream that lacks what a head adds, nobody reading it in between."""
    dataset = model.run.dataset(("resid", "z"))
    added = np.einsum(
        "td,dm->tm", dataset["z"].values[layer, :, head], model.heads.w_o(layer)[head]
    )
    stream = dataset["resid"].values.copy()
    stream[layer + 1 :] -= added
    return dataset.assign(resid=(dataset["resid"].dims, stream))


def test_a_head_that_nobody_reads_costs_what_it_adds(tiny):
    """To the divisor of the norm, which attribution freezes and removal does not."""
    model = tiny("llama-biases")
    dataset = model.run.dataset(SITES)
    variants = {place: without_head(model, *place) for place in ((2, 1), (0, 3))}
    result = triangulation(
        dataset, variants, (model.readout, model.heads), ANSWERS, every_asked(dataset)
    ).compute()
    assert int(result["ablation"].notnull().sum()) == 2
    base = attribution(dataset, model.readout, ANSWERS).compute()["logit_difference"]
    for (layer, head), variant in variants.items():
        without = logit_differences(variant, model.readout, ANSWERS).compute()
        got = float(result["ablation"].sel(layer=layer).isel(head=head, group=0))
        assert got == pytest.approx(float((base - without).mean()), abs=1e-9)
    own = attribution(dataset, model.readout, ANSWERS, model.heads).compute()
    expected = own["head_attribution"].mean("token")
    np.testing.assert_allclose(result["attribution"].isel(group=0), expected, atol=1e-12)


def test_building_computes_nothing(tiny, forbid_compute):
    model = tiny("llama-biases")
    dataset = model.run.dataset(SITES)
    variants = {(1, 2): model.run.dataset(("resid",))}
    triangulation(dataset, variants, (model.readout, model.heads), ANSWERS, every_asked(dataset))


def test_which_variants_remove_a_head():
    zero = EditRecord("zero", "z", 2, 3)
    assert zeroed_head((zero,)) == (2, 3)
    for other in (
        (EditRecord("zero", "z", 2),),
        (EditRecord("zero", "v", 2, 3),),
        (EditRecord("scale", "z", 2, 3, parameters={"factor": 0.0}),),
        (zero, zero),
    ):
        assert zeroed_head(other) is None


def test_what_is_refused(tiny):
    study = registry.find("triangulate")
    with pytest.raises(UsageError, match="no head is removed: give the run edits"):
        study.check(AnswerOptions(answer="a"), PlannedRun(3, (), (), lambda: None, "add"))
    question = asked(tiny("llama-biases").run, "triangulate", answer="t7", at="last")
    with pytest.raises(UsageError, match="no variant of run it removes a head: the sentences"):
        study.compute(question.subject, question.options)

"""Interventions in every family against its oracle, its baseline and a pass of the whole model."""

import numpy as np
import pytest
import torch

from actlas.pipeline.extraction.hooks import Start, blocks_return_tuples, run_captured
from tests.families.tried import READ, TOLERANCE, errors

#: one of each type, and the others in the slow set
TYPES = [pytest.param(name, marks=pytest.mark.slow) if "-" in name else name for name in READ]
#: at every site that can be edited, all at once, so that none undoes another
SCALES = (
    "scale:site=resid,depth=0,factor=0.5",
    "scale:layer=1,factor=0.75",
    "scale:site=resid_mid,layer=1,factor=0.5",
    "scale:site=q,layer=0,factor=0.5",
    "scale:site=k,layer=2,factor=1.5",
    "scale:site=v,layer=0,factor=0.5",
    "scale:site=q_normed,layer=1,factor=0.5",
    "scale:site=k_normed,layer=1,factor=1.5",
    "scale:site=z,layer=2,factor=0.5",
    "scale:site=attn_out,layer=0,factor=2",
    "scale:site=mlp_pre,layer=1,factor=0.5",
    "scale:site=mlp_up,layer=1,factor=1.5",
    "scale:site=mlp_post,layer=0,factor=0.5",
    "scale:site=mlp_out,layer=2,factor=2",
    "scale:site=final_norm,factor=0.5",
)
NOISE = "noise:site=mlp_post,layer=2,neurons=::2,mean=3,std=1,seed=4"
#: of heads, in layers of their own
HEADS = (
    "zero:site=q,layer=1,head=2",
    "zero:site=k,layer=2,head=1",
    "zero:site=v,layer=1,head=0",
    "zero:site=z,layer=2,head=3",
    NOISE,
)
SKIP = ("skip:layer=1",)
IDENTITY = tuple(
    text.partition("factor=")[0].replace("layer=0", "layer=1") + "factor=1" for text in SCALES[1:]
)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("edits", [SCALES, SKIP, HEADS], ids=["scales", "skip", "heads and noise"])
@pytest.mark.parametrize("name", TYPES)
def test_a_variant_is_the_oracles(tried, name, edits):
    """It starts in the middle, from its baseline's residual stream."""
    model = tried(name)
    texts = model.edits_in(edits)
    run = model.variant(texts)
    found = errors(run, model.expected(texts))
    assert max(found.values()) < TOLERANCE, found
    for commit in run.commits:
        assert len(commit.edits) == len(texts)
        assert all(record["changed"] > 0 for record in commit.edits)
        assert commit.upstream["max_difference"] == 0
        assert commit.upstream["compared"] > 0


@pytest.mark.parametrize("name", TYPES)
def test_an_edit_that_changes_nothing_is_the_baseline_exactly(tried, name):
    model = tried(name)
    run = model.variant(model.edits_in(IDENTITY))
    assert all(record["changed"] == 0 for commit in run.commits for record in commit.edits)
    ours, clean = run.dataset(check=True), model.baseline.dataset()
    for site in ours.data_vars:
        np.testing.assert_array_equal(ours[site], clean[site], err_msg=site)


@pytest.mark.parametrize("edits", [SKIP, HEADS], ids=["skip", "heads and noise"])
@pytest.mark.parametrize("name", TYPES)
def test_a_variant_from_the_stored_residual_is_the_whole_pass(tried, name, edits):
    model = tried(name)
    texts = model.edits_in(edits)
    run = model.variant(texts)
    assert run.commits[0].upstream["start"].startswith("resid[")
    dataset = run.dataset()
    for (site, index), whole in model.whole_pass(texts).items():
        stored = dataset[site].values if site == "final_norm" else dataset[site].values[index]
        np.testing.assert_array_equal(stored.reshape(whole.shape), whole, err_msg=site)


@pytest.mark.parametrize("name", TYPES)
def test_a_pass_from_any_depth_is_the_whole_pass(tried, name):
    model = tried(name)
    architecture, loaded = model.architecture, model.loaded(model.plan())
    ids = torch.tensor([[7, 30, 9, 31, 8, 32, 33]])  # longer than the windows
    points = architecture.hook_points(["resid", *architecture.family.rows.keys() & {"final_norm"}])
    in_tuple = blocks_return_tuples(loaded, architecture)
    whole = {}
    with torch.inference_mode():
        run_captured(loaded, architecture, ids, points, lambda p, x: whole.update({p.key: x}))
        for layer in range(1, architecture.geometry.n_layer + 1):
            found = {}
            later = [p for p in points if p.site.name != "resid" or p.index >= layer]
            start = Start(layer, whole["resid", layer], in_tuple)
            run_captured(
                loaded,
                architecture,
                ids,
                later,
                lambda p, x, found=found: found.update({p.key: x}),
                start,
            )
            assert all(torch.equal(found[key], whole[key]) for key in found)

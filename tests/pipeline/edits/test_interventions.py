"""Variants against the NumPy oracle with the same edit, against their baseline.

Their edit checks are compared, too.
"""

import numpy as np
import pytest
from safetensors.numpy import load_file

from actlas.pipeline.edits.apply import Intervention
from actlas.pipeline.edits.spec import parse_edit
from actlas.store import Run, Store, StoreError
from tests import oracle
from tests.edited_oracle import changing
from tests.extraction import ALL_SITES, extract_texts, extract_variant, plan_for
from tests.pipeline.edits.edited_runs import EDITS, TOLERANCE
from tests.small_model import SIZES, TEXTS, save_model


def expected(model, run: Run, edits):
    weights = load_file(model / "model.safetensors")
    ids = np.split(run.labels.token["token_id"], np.cumsum(run.labels.row_size)[:-1])
    parts = [
        oracle.activations(weights, one, SIZES["n_head"], change=changing(edits, one))
        for one in ids
    ]
    dataset = run.dataset()
    return {
        site: np.concatenate([part[site] for part in parts], dataset[site].dims.index("token"))
        for site in ALL_SITES
    }


@pytest.mark.parametrize("name", EDITS)
def test_every_site_of_a_variant_equals_the_oracle(small_model, variant, baseline, name):
    run = variant(name)
    wanted, got, clean = (
        expected(small_model, run, EDITS[name]),
        run.dataset(check=True),
        baseline.dataset(),
    )
    # inside a skipped block stands what it would compute; upstream of it that is the baseline's
    for site in ALL_SITES:
        ours, theirs = got[site].values.astype(np.float64), wanted[site]
        assert ours.shape == theirs.shape
        np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
        blocked = got[site].dims[0] in ("layer", "depth")
        for one, other in zip(ours, theirs, strict=True) if blocked else [(ours, theirs)]:
            assert np.nanmax(np.abs(one - other)) <= TOLERANCE * np.nanmax(np.abs(other)), site
    assert not np.array_equal(got["nll"], clean["nll"], equal_nan=True)


@pytest.mark.parametrize("name", EDITS)
def test_upstream_equals_the_baseline_exactly_and_the_proof_says_what_was_done(
    variant, baseline, name
):
    run = variant(name)
    assert run.baseline.id == baseline.id
    dataset, clean = (
        run.dataset(["resid", "q", "mlp_out"]),
        baseline.dataset(["resid", "q", "mlp_out"]),
    )
    targets = [parse_edit(text).target for text in EDITS[name]]
    first = min(SIZES["n_layer"] if target.index is None else target.index for target in targets)
    depth = min(
        first + (target.site != "resid") for target in targets if target.index in (first, None)
    )
    np.testing.assert_array_equal(dataset["resid"][:depth], clean["resid"][:depth])
    np.testing.assert_array_equal(dataset["q"][:first], clean["q"][:first])
    np.testing.assert_array_equal(dataset["mlp_out"][:first], clean["mlp_out"][:first])
    for commit in run.commits:
        assert [record["edit"] for record in commit.edits] == [edit.text for edit in run.edits]
        assert all(record["times_applied"] == commit.unit.sentences for record in commit.edits)
        assert all(
            0 < record["changed"] <= record["values"] and record["max_change"] > 0
            for record in commit.edits
        )
        assert commit.upstream["max_difference"] == 0
        assert commit.upstream["compared"] == commit.unit.tokens * SIZES["n_embd"]


@pytest.mark.parametrize(
    "where",
    ["layer=0", "layer=2", "site=resid,depth=0", "site=k,layer=1,head=2", "site=final_norm"],
)
def test_the_identity_edit_reproduces_the_baseline_exactly(store, small_model, baseline, where):
    run = extract_variant(store, small_model, TEXTS, [f"scale:{where},factor=1"], unit_tokens=120)
    ours, clean = run.dataset(), baseline.dataset()
    for site in ALL_SITES:
        np.testing.assert_array_equal(ours[site], clean[site])
    assert all(
        record["changed"] == 0 and record["times_applied"]
        for commit in run.commits
        for record in commit.edits
    )


def test_blocks_upstream_are_not_stored_again(variant, baseline):
    commit = variant("skip last").commits[0]
    assert set(commit.sites) == {"resid", "final_norm", "nll"}
    assert commit.sites["resid"].layout.numbers == (3,)
    assert len(commit.shared["resid"].checksums) == 3
    assert commit.shared["q"].checksums == baseline.commits[0].sites["q"].checksums


@pytest.mark.parametrize(
    "config", [{}, {"scale_attn_by_inverse_layer_idx": True}], ids=["plain", "scaled by layer"]
)
@pytest.mark.parametrize("name", ["skip", "zero head of k", "several", "noise", "final norm"])
def test_starting_from_the_baseline_equals_running_the_whole_model(
    tmp_path, small_model, monkeypatch, name, config
):
    from actlas.pipeline.extraction.variant_pass import VariantPass

    model = save_model(tmp_path / "model", **config) if config else small_model
    short = extract_variant(
        tmp_path / "short", model, TEXTS, EDITS[name], unit_tokens=120, attention="eager"
    ).dataset()
    begin = VariantPass.__init__

    def whole(self, *arguments, computed, stored):
        # as if the baseline were stored narrowed
        begin(self, *arguments, computed="float32", stored="float16")
        self._stored = stored

    monkeypatch.setattr(VariantPass, "__init__", whole)
    run = extract_variant(
        tmp_path / "long", model, TEXTS, EDITS[name], unit_tokens=120, attention="eager"
    )
    assert run.commits[0].upstream["start"] == "token ids"
    long = run.dataset()
    for site in ALL_SITES:
        np.testing.assert_array_equal(short[site], long[site])


@pytest.mark.parametrize(
    ("dtype", "stored"), [("float32", "float16"), ("bfloat16", "bfloat16"), ("bfloat16", "float32")]
)
def test_other_precisions(tmp_path, small_model, dtype, stored):
    options = {"dtype": dtype, "stored_dtype": stored, "unit_tokens": 120}
    clean, _ = extract_texts(tmp_path / "store", small_model, TEXTS, ("resid", "nll"), **options)
    for edit in ("scale:layer=1,factor=1", "scale:site=mlp_out,layer=1,factor=1"):
        run = extract_variant(
            tmp_path / "store", small_model, TEXTS, [edit], ("resid", "nll"), **options
        )
        np.testing.assert_array_equal(run.dataset()["resid"], clean.dataset()["resid"])
        np.testing.assert_array_equal(run.dataset()["nll"], clean.dataset()["nll"])
        assert run.commits[0].upstream["max_difference"] == 0
        assert (
            run.commits[0]
            .upstream["start"]
            .startswith("token" if stored == "float16" else "resid[")
        )


def test_a_model_that_computes_otherwise_than_the_baselines_is_found_out(
    tmp_path, small_model, monkeypatch
):
    """The software changed between baseline and variant.

    Imitated by a block that computes something else.
    """
    options = {"stored_dtype": "float16"}
    extract_texts(tmp_path / "store", small_model, TEXTS, ("resid",), **options)
    from transformers.models.gpt2.modeling_gpt2 import GPT2MLP

    forward = GPT2MLP.forward
    monkeypatch.setattr(GPT2MLP, "forward", lambda self, hidden: forward(self, hidden * 1.1))
    with pytest.raises(
        StoreError, match=r"upstream of the edits, resid\[2\] differs from the baseline by"
    ):
        extract_variant(
            tmp_path / "store", small_model, TEXTS, ["zero:site=k,layer=2"], ("resid",), **options
        )


@pytest.mark.parametrize("name", ["several", "noise", "final norm"])
def test_a_unit_that_is_cut_when_memory_runs_out_is_the_same(
    tmp_path, small_model, variant, monkeypatch, name
):
    """The first pass fails at its edit, the second at its second batch.

    Nothing of them is counted or kept.
    """
    calls, apply = [], Intervention.apply
    last = EDITS[name][-1]

    def failing(self, value):
        if self.edit == parse_edit(last):
            calls.append(len(value))
            if len(calls) in (1, 3):
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return apply(self, value)

    whole = variant(name)
    extract_texts(tmp_path / "store", small_model, TEXTS, unit_tokens=120)
    monkeypatch.setattr(Intervention, "apply", failing)
    cut = extract_variant(tmp_path / "store", small_model, TEXTS, EDITS[name], unit_tokens=120)
    assert calls[0] == calls[1] + calls[2] > 1
    assert cut.commits[0].provenance["batches"] == 4
    for one, other in zip(cut.commits, whole.commits, strict=True):
        assert [(edit["times_applied"], edit["values"]) for edit in one.edits] == [
            (edit["times_applied"], edit["values"]) for edit in other.edits
        ]
        assert one.upstream["compared"] == other.upstream["compared"]
        assert one.shared == other.shared
    ours, wanted = cut.dataset(check=True), whole.dataset()
    for site in ALL_SITES:
        scale = float(np.nanmax(np.abs(wanted[site])))
        np.testing.assert_allclose(ours[site], wanted[site], rtol=0, atol=TOLERANCE * scale)


def test_the_model_is_as_before_after_a_variant(small_model, store, baseline):
    from actlas.pipeline.extraction.loop import extract_with, load_for

    plan = plan_for(
        store,
        small_model,
        TEXTS,
        ("resid",),
        edits=(parse_edit("scale:layer=1,factor=7"),),
        unit_tokens=120,
    )
    model = load_for(plan)
    blocks, hooks = list(model.transformer.h), sum(len(m._forward_hooks) for m in model.modules())
    extract_with(model, plan, Store(store).add(plan.specification, plan.description, plan.units))
    assert list(model.transformer.h) == blocks
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()) == hooks

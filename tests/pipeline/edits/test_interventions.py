"""Variants against the NumPy oracle with the same edit, against their baseline.

Their edit checks are compared, too.
"""

import re

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from actlas.pipeline.edits.apply import Batch, Intervention, generator
from actlas.pipeline.edits.spec import parse_edit
from actlas.pipeline.models.folder import load, resolve
from actlas.store import Run, Store, StoreError
from tests import oracle
from tests.edited_oracle import changing
from tests.extraction import ALL_SITES, extract_texts, extract_variant, plan_for
from tests.small_model import SIZES, TEXTS, save_model

TOLERANCE = 1e-5  # relative, float32
NOISE = "noise:site=mlp_post,layer=1,units=::2,mean=3,std=1,seed=4"
EDITS = {
    "skip first": ["skip:block=0"],
    "skip": ["skip:block=1"],
    "skip last": ["skip:block=2"],
    "scale block": ["scale:block=1,factor=0.5"],
    "scale embeddings": ["scale:site=resid,depth=0,factor=1.5"],
    "scale some dimensions": ["scale:block=0,units=3:9,factor=-2"],
    "scale site": ["scale:site=mlp_out,layer=1,factor=0"],
    "zero head of q": ["zero:site=q,layer=1,head=3"],
    "zero head of k": ["zero:site=k,layer=0,head=2"],
    "zero head of v": ["zero:site=v,layer=2,head=4"],
    "zero head of z": ["zero:site=z,layer=1,head=2"],
    "zero site": ["zero:site=attn_out,layer=2"],
    "zero mlp_pre": ["zero:site=mlp_pre,layer=1,units=0+5+43"],
    "final norm": ["scale:site=final_norm,factor=2"],
    "noise": [NOISE],
    "noise in a head": ["noise:site=v,layer=1,head=0,mean=0,std=2,seed=1"],
    "several": [
        "skip:block=1",
        "scale:block=0,factor=0.5",
        "zero:site=k,layer=2,head=1",
        "scale:block=2,factor=3",
    ],
    "one spot": [
        "scale:block=1,factor=2",
        "noise:site=resid,depth=2,units=1:4,mean=1,std=1,seed=0",
    ],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("variants") / "store"


@pytest.fixture(scope="module")
def baseline(small_model, store):
    return extract_texts(store, small_model, TEXTS, unit_tokens=120)[0]


@pytest.fixture(scope="module")
def variant(small_model, store, baseline):
    return lambda name: extract_variant(store, small_model, TEXTS, EDITS[name], unit_tokens=120)


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
        assert all(record["fired"] == commit.unit.sentences for record in commit.edits)
        assert all(
            0 < record["changed"] <= record["values"] and record["max_change"] > 0
            for record in commit.edits
        )
        assert commit.upstream["max_difference"] == 0
        assert commit.upstream["compared"] == commit.unit.tokens * SIZES["n_embd"]


def test_a_skipped_block_moves_nothing(variant):
    resid = variant("skip").dataset(["resid"])["resid"].values
    assert np.linalg.norm(resid[2] - resid[1]) == 0.0
    assert np.linalg.norm(resid[3] - resid[2]) > 0
    assert np.linalg.norm(resid[1] - resid[0]) > 0


def test_the_proof_counts_what_changed(variant, baseline):
    resid = baseline.dataset(["resid"])["resid"].values
    unit = baseline.units[0]
    (record,) = variant("skip").commits[0].edits
    change = np.abs(resid[1] - resid[2])[: unit.tokens]
    assert (record["values"], record["changed"]) == (change.size, np.count_nonzero(change))
    assert record["max_change"] == pytest.approx(change.max())


@pytest.mark.parametrize(
    "where",
    ["block=0", "block=2", "site=resid,depth=0", "site=k,layer=1,head=2", "site=final_norm"],
)
def test_the_identity_edit_reproduces_the_baseline_exactly(store, small_model, baseline, where):
    run = extract_variant(store, small_model, TEXTS, [f"scale:{where},factor=1"], unit_tokens=120)
    ours, clean = run.dataset(), baseline.dataset()
    for site in ALL_SITES:
        np.testing.assert_array_equal(ours[site], clean[site])
    assert all(
        record["changed"] == 0 and record["fired"]
        for commit in run.commits
        for record in commit.edits
    )


def test_blocks_upstream_are_not_stored_again(variant, baseline):
    commit = variant("skip last").commits[0]
    assert set(commit.sites) == {"resid", "final_norm", "nll"}
    assert commit.sites["resid"].layout.first == 3
    assert commit.sites["resid"].layout.blocks == 1
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
        begin(
            self, *arguments, computed="float32", stored="float16"
        )  # as if the baseline were stored narrowed
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
    for edit in ("scale:block=1,factor=1", "scale:site=mlp_out,layer=1,factor=1"):
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


def test_zero_keys_attend_uniformly_over_the_past(small_model):
    """On the attention weights of the model itself, with the package's own hooks."""
    from actlas.pipeline.extraction.hooks import edited

    folder = resolve(str(small_model))
    model = load(folder, dtype=torch.float32, device=torch.device("cpu"), attention="eager")
    token_ids = torch.arange(1, 12)[None]
    edit, architecture = parse_edit("zero:site=k,layer=1,head=2"), folder.architecture
    intervention = Intervention(edit, architecture)
    intervention.begin_batch(Batch(token_ids.numpy(), (11,)))
    weights = []
    handle = model.transformer.h[1].attn.register_forward_hook(
        lambda _module, _given, output: weights.append(output[1])
    )
    with torch.inference_mode(), edited(model, architecture, [intervention]):
        model(token_ids, use_cache=False)
    handle.remove()
    pattern = weights[0][0].numpy()  # (head, query, key)
    uniform = np.tril(np.ones((11, 11))) / np.arange(1, 12)[:, None]
    np.testing.assert_allclose(pattern[2], uniform, atol=1e-6)
    assert np.abs(pattern[1] - uniform).max() > 0.01


def test_zero_z_removes_the_heads_term_from_attn_out(small_model, variant, baseline):
    weights = load_file(small_model / "model.safetensors")
    projection = weights["transformer.h.1.attn.c_proj.weight"]  # (input, output)
    d_head = SIZES["n_embd"] // SIZES["n_head"]
    clean, zeroed = (
        baseline.dataset(["z", "attn_out"]),
        variant("zero head of z").dataset(["attn_out"]),
    )
    term = clean["z"][1, :, 2].values @ projection[2 * d_head : 3 * d_head]
    np.testing.assert_allclose(
        clean["attn_out"][1].values - zeroed["attn_out"][1].values, term, atol=1e-5
    )


def test_noise_is_the_same_alone_and_in_a_batch(tmp_path, small_model, store, baseline):
    together = extract_variant(store, small_model, TEXTS, [NOISE], unit_tokens=1000).dataset(
        ["mlp_post"]
    )["mlp_post"]
    for number, text in enumerate(TEXTS):
        alone = extract_variant(tmp_path / str(number), small_model, [text], [NOISE]).dataset(
            ["mlp_post"]
        )["mlp_post"]
        of_sentence = together[:, together["sentence"].values == number]
        np.testing.assert_array_equal(of_sentence[1, :, ::2], alone[1, :, ::2])
        np.testing.assert_allclose(of_sentence[1, :, 1::2], alone[1, :, 1::2], rtol=1e-4, atol=1e-5)


def test_noise_differs_by_seed_spot_and_sentence():
    def draw(text, ids):
        return generator(parse_edit(text), ids).standard_normal(50)

    base = "noise:site=z,layer={},head={},units={},seed={}"
    one = draw(base.format(1, 0, "::2", 0), [5, 6, 7])
    np.testing.assert_array_equal(one, draw(base.format(1, 0, "::2", 0), [5, 6, 7]))
    spots = [(2, 0, "::2", 0), (1, 1, "::2", 0), (1, 0, "1::2", 0), (1, 0, "::2", 1)]
    others = [draw(base.format(*spot), [5, 6, 7]) for spot in spots] + [
        draw(base.format(1, 0, "::2", 0), [56, 7])
    ]
    assert all(np.abs(np.corrcoef(one, other)[0, 1]) < 0.5 for other in others)


def test_noise_has_the_mean_and_std_that_were_asked_for(variant):
    noisy = variant("noise").dataset(["mlp_post"])["mlp_post"][1, :, ::2].values
    assert abs(noisy.mean() - 3) < 5 / np.sqrt(noisy.size)
    assert abs(noisy.std() - 1) < 5 / np.sqrt(noisy.size)


def test_an_edit_that_does_not_fire_is_an_error_and_stores_nothing(
    tmp_path, small_model, monkeypatch
):
    from contextlib import nullcontext

    from actlas.pipeline.extraction import variant_pass as module

    extract_texts(tmp_path / "store", small_model, TEXTS, ("resid",))
    monkeypatch.setattr(module, "edited", lambda *_: nullcontext())
    with pytest.raises(StoreError, match="zero:site=k,layer=1 was applied to 0 of 5 sentences"):
        extract_variant(tmp_path / "store", small_model, TEXTS, ["zero:site=k,layer=1"], ("resid",))
    variant = next(run for run in Store(tmp_path / "store").runs() if run.edits)
    assert variant.commits == ()
    assert not list((variant.folder / "shards").iterdir())


@pytest.mark.parametrize(
    "edit", ["scale:block=1,factor=1e+39", "noise:block=1,mean=0,std=1e+39,seed=0"]
)
def test_values_that_are_not_finite_are_refused(tmp_path, small_model, edit):
    with pytest.raises(StoreError, match=re.escape(f"{edit} makes values that are not finite")):
        extract_variant(tmp_path / "store", small_model, TEXTS, [edit], ("resid",))


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
    monkeypatch.setattr(GPT2MLP, "forward", lambda self, hidden: forward(self, hidden) * 1.1)
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
        assert [(edit["fired"], edit["values"]) for edit in one.edits] == [
            (edit["fired"], edit["values"]) for edit in other.edits
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
        edits=(parse_edit("scale:block=1,factor=7"),),
        unit_tokens=120,
    )
    model = load_for(plan)
    blocks, hooks = list(model.transformer.h), sum(len(m._forward_hooks) for m in model.modules())
    extract_with(model, plan, Store(store).add(plan.specification, plan.description, plan.units))
    assert list(model.transformer.h) == blocks
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()) == hooks

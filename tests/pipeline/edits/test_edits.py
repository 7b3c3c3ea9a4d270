"""The text form of edits: what can be said, what is refused, what it means for a model."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.pipeline.edits.branch import Branch
from actlas.pipeline.edits.spec import (
    KINDS,
    EditTarget,
    Noise,
    Scale,
    Skip,
    Zero,
    edit_record,
    edit_text,
    parse_edit,
)
from actlas.pipeline.models.sites import SITES
from actlas.store import UsageError
from actlas.store.errors import DamagedStore, quoted
from actlas.store.format.edit_records import EditRecord, Stride, elements_name
from actlas.store.format.schema import canonical
from tests.pipeline.edits.architectures import GPT2

numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)
indices = st.integers(0, 99)
bounds = st.none() | st.integers(-9, 9)
slices = st.builds(Stride, bounds, bounds, st.none() | st.integers(1, 9))
elements = st.none() | slices | st.sets(indices, min_size=1).map(tuple)


def targets():
    def of(site):
        index = st.none() if SITES[site].dims[0] == "token" else indices
        head = st.none() | indices if SITES[site].has_heads else st.none()
        return st.builds(EditTarget, st.just(site), index, head, elements)

    return st.sampled_from([name for name, site in SITES.items() if site.editable]).flatmap(of)


edits = (
    st.builds(Skip, st.builds(lambda layer: EditTarget("resid", layer + 1), indices))
    | st.builds(Scale, targets(), numbers)
    | st.builds(Zero, targets())
    | st.builds(Noise, targets(), numbers, numbers.map(abs), st.integers(0, 2**63))
)


@given(edits)
def test_print_and_parse_are_inverse(edit):
    assert parse_edit(edit_text(edit)) == edit
    assert edit_text(parse_edit(edit_text(edit))) == edit_text(edit)


@given(edits)
def test_the_record_of_an_edit_survives_json(edit):
    record = edit_record(edit)
    kept = json.loads(canonical(record.to_json()))
    assert EditRecord.from_json(kept) == record
    assert EditRecord.from_json(kept).text == edit_text(edit)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("skip:layer=5", "skip:layer=5"),
        ("scale:layer=2,factor=0.5", "scale:layer=2,factor=0.5"),
        ("scale:factor=5e-1,layer=02", "scale:layer=2,factor=0.5"),
        ("scale:site=resid,depth=3,factor=1.0", "scale:layer=2,factor=1"),
        ("scale:layer=2,dims=::2,factor=0.5", "scale:layer=2,dims=::2,factor=0.5"),
        ("zero:site=blocks.3.attn.hook_q,head=2", "zero:site=q,layer=3,head=2"),
        ("zero:site=blocks.3.attn.hook_q,layer=3", "zero:site=q,layer=3"),
        ("zero:site=hook_mlp_out,layer=3", "zero:site=mlp_out,layer=3"),
        ("skip:site=blocks.3.hook_resid_post", "skip:layer=3"),
        ("scale:site=blocks.0.hook_resid_pre,factor=2", "scale:site=resid,depth=0,factor=2"),
        ("scale:site=hook_resid_pre,layer=4,factor=2", "scale:layer=3,factor=2"),
        ("scale:site=hook_resid_post,layer=4,factor=2", "scale:layer=4,factor=2"),
        ("zero:site=ln_final", "zero:site=final_norm"),
        ("scale:site=hook_resid_pre,depth=0,factor=1", "scale:site=resid,depth=0,factor=1"),
        ("zero:site=attn.hook_k,layer=4,head=2", "zero:site=k,layer=4,head=2"),
        ("zero:site=final_norm,dims=5:9", "zero:site=final_norm,dims=5:9"),
        ("zero:site=mlp_post,layer=0,neurons=7+0+07", "zero:site=mlp_post,layer=0,neurons=0+7"),
        (
            "noise:site=mlp_post,layer=3,neurons=::2,mean=10,std=1,seed=0",
            "noise:site=mlp_post,layer=3,neurons=::2,mean=10,std=1,seed=0",
        ),
        ("zero:layer=1,dims=00:-03:1", "zero:layer=1,dims=:-3"),
        ("zero:layer=1,dims=0::02", "zero:layer=1,dims=::2"),
        ("zero:layer=1,dims=-0:", "zero:layer=1"),
        ("scale:layer=1,factor=-0.0", "scale:layer=1,factor=0"),
        (
            f"noise:site=q,layer=0,seed={'9' * 400}",
            f"noise:site=q,layer=0,mean=0,std=1,seed={'9' * 400}",
        ),
        ("noise:site=mlp_post,layer=3", "noise:site=mlp_post,layer=3,mean=0,std=1,seed=0"),
    ],
)
def test_one_form_for_all_spellings(text, same):
    assert edit_text(parse_edit(text)) == same


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("skp:layer=1", "unknown kind of edit 'skp': did you mean skip"),
        ("skip", "'' is not of the form name=value"),
        ("skip:layer", "'layer' is not of the form name=value"),
        ("skip:layer=1,layer=2", "'layer=2' is given twice"),
        ("skip:layer=-1", "layer='-1' is not a whole number"),
        ("skip:layer=x", "layer='x' is not a whole number"),
        ("skip:site=q,layer=1", "only a whole layer can be skipped"),
        ("skip:layer=1,dims=::2", "only a whole layer can be skipped"),
        ("skip:site=resid,depth=0", "only a whole layer can be skipped"),
        ("skip:layer=1,factor=2", "unknown field 'factor'"),
        ("scale:layer=1", "lacks factor="),
        ("scale:layer=1,facto=2", "unknown field 'facto': did you mean factor"),
        ("scale:layer=1,factor=inf", "factor=inf is not finite"),
        ("scale:layer=1,factor=nan", "factor=nan is not finite"),
        ("scale:layer=1,factor=x", "factor='x' is not a number"),
        (
            "scale:layer=1,head=2,factor=2",
            "layer= without site= is the output of the whole layer: leave head= out",
        ),
        ("scale:factor=2", "lacks layer= or site="),
        ("skip:block=1", "unknown field 'block': "),
        ("zero:layer=1,units=::2", "unknown field 'units': "),
        ("zero:layer=1,neurons=::2", "resid has dims: expected dims=, got neurons="),
        ("zero:site=mlp_pre,layer=1,dims=0", "mlp_pre has neurons: expected neurons=, got dims="),
        (
            "zero:layer=1,head=2",
            "layer= without site= is the output of the whole layer: leave head= out",
        ),
        ("zero:site=blocks.3.attn.hook_q,layer=2", "is of layer 3, not 2"),
        (
            "zero:site=blocks.3.hook_q_input",
            "unknown site 'blocks.3.hook_q_input': did you mean blocks.3",
        ),
        ("zero:site=blocks.x.attn.hook_q", "expected a layer behind 'blocks.'"),
        ("zero:site=blocks.3.q", "unknown site 'blocks.3.q'"),
        ("zero:site=blocks.3.ln_final", "final_norm has no layer, expected ln_final"),
        ("zero:site=qq,layer=1", "unknown site 'qq'"),
        ("zero:site=nll", "cannot edit nll"),
        ("zero:site=pattern,layer=1", "cannot edit pattern"),
        ("zero:site=q_rot,layer=1", "cannot edit q_rot"),
        ("zero:site=q", "needs layer="),
        ("zero:site=resid", "needs depth="),
        ("zero:site=resid,layer=1", "resid is counted by depth=, not layer="),
        ("zero:site=q,depth=1", "q is counted by layer=, not depth="),
        ("zero:site=final_norm,layer=1", "has no layer"),
        ("zero:site=mlp_out,layer=1,head=2", "mlp_out has no heads"),
        ("noise:site=q,layer=1,std=-1", "must not be negative"),
        ("noise:site=q,layer=1,seed=1.5", "seed='1.5' is not a whole number"),
        ("noise:site=q,layer=1,seed=-5", "must not be negative"),
        ("noise:site=q,layer=1,dims=1-5", "neither a slice"),
        ("noise:site=q,layer=1,dims=::0", "neither a slice"),
        ("noise:site=q,layer=1,dims=٣:", "neither a slice"),
        (f"skip:layer={'9' * 5000}", "is not a whole number"),
        (f"zero:layer=1,dims=0+{'9' * 5000}", "neither a slice"),
    ],
)
def test_what_is_wrong_is_said_when_the_text_is_read(text, message):
    with pytest.raises(UsageError, match=message) as caught:
        parse_edit(text)
    assert quoted(text) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("skip:layer=12", "layer 12: the model has layers 0 to 11"),
        ("zero:site=k,layer=12", "layer 12: the model has layers 0 to 11"),
        ("zero:site=k,layer=1,head=12", "head=12: the model has heads 0 to 11"),
        ("zero:site=k,layer=1,dims=64", "dims=64: k has dims 0 to 63"),
        ("zero:site=k,layer=1,dims=70:80", "dims=70:80 chooses none of 64"),
    ],
)
def test_what_the_model_lacks_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        Branch.of([parse_edit(text)], GPT2)


def test_head_2_of_k_in_gpt2_small_is_columns_896_to_960():
    edit = parse_edit("zero:site=k,layer=4,head=2")
    np.testing.assert_array_equal(edit.target.columns(GPT2), np.arange(896, 960))


@given(slices)
def test_the_one_form_of_a_slice_chooses_what_was_asked_for(stride):
    plain = EditTarget("mlp_post", 0, elements=stride).elements
    written = slice(None) if plain is None else plain.slice
    np.testing.assert_array_equal(np.arange(3072)[written], np.arange(3072)[stride.slice])
    assert plain is None or EditTarget("mlp_post", 0, elements=plain).elements == plain


def test_a_negative_zero_is_zero():
    assert str(parse_edit("scale:layer=1,factor=-0").factor) == "0.0"


def test_columns_of_neurons_and_dims():
    assert parse_edit("zero:site=v,layer=0,head=1,dims=0+63").target.columns(GPT2).tolist() == [
        1536 + 64,
        1536 + 127,
    ]
    np.testing.assert_array_equal(
        parse_edit("noise:site=mlp_post,layer=0,neurons=::2").target.columns(GPT2),
        np.arange(0, 3072, 2),
    )
    every_head = parse_edit("zero:site=z,layer=0,dims=5").target.columns(GPT2)
    np.testing.assert_array_equal(every_head, np.arange(12) * 64 + 5)


def test_every_kind_is_documented_in_the_modules_examples():
    from actlas.pipeline.edits import spec as module

    assert all(f"``{kind}:" in module.__doc__ for kind in KINDS)


@pytest.mark.parametrize(
    "record",
    [
        "skip:layer=1",
        {"kind": "skip"},
        {"kind": ["skip"], "site": "resid"},
        {"kind": "scale", "site": "resid", "depth": 1},
        {"kind": "scale", "site": "resid", "depth": True, "factor": 1.0},
        {"kind": "scale", "site": "resid", "depth": -1, "factor": 1.0},
        {"kind": "scale", "site": "resid", "layer": 1, "factor": 1.0},
        {"kind": "scale", "site": "q", "layer": 1, "factor": "2"},
        {"kind": "zero", "site": 3, "layer": 1},
        {"kind": "zero", "site": "q", "layer": 1, "dims": []},
        {"kind": "zero", "site": "q", "layer": 1, "dims": {"step": 0}},
        {"kind": "zero", "site": "q", "layer": 1, "dims": {"skip": 1}},
        {"kind": "zero", "site": "q", "layer": 1, "more": 1},
        {"kind": "noise", "site": "q", "layer": 1, "mean": 0.0, "std": 1.0, "seed": 1.5},
    ],
)
def test_what_is_no_record_of_an_edit_is_refused(record):
    with pytest.raises(DamagedStore, match="expected"):
        EditRecord.from_json(record)


def test_neurons_are_of_the_sites_whose_last_dim_is_the_mlps():
    for name, site in SITES.items():
        assert (elements_name(name) == "neurons") == (site.dims[-1] == "d_mlp"), name

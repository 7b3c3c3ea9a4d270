"""The text form of edits: what can be said, what is refused, what it means for a model."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actlas.pipeline.edits.branch import Branch
from actlas.pipeline.edits.grid import expand
from actlas.pipeline.edits.spec import (
    KINDS,
    EditTarget,
    Noise,
    Scale,
    Skip,
    Zero,
    edit_record,
    edit_text,
    in_order,
    parse_edit,
)
from actlas.pipeline.models.architecture import Architecture
from actlas.pipeline.models.families.gpt2 import GPT2 as FAMILY
from actlas.pipeline.models.geometry import Geometry
from actlas.pipeline.models.sites import SITES
from actlas.store import UsageError
from actlas.store.errors import DamagedStore, quoted
from actlas.store.format.edit_records import EditRecord, Stride
from actlas.store.format.schema import canonical

GPT2 = Architecture(FAMILY, Geometry(12, 12, 768, 64, 3072, 1024, 50257))
SMALL = Architecture(FAMILY, Geometry(3, 2, 8, 4, 32, 9, 50))
numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)
indices = st.integers(0, 99)
bounds = st.none() | st.integers(-9, 9)
slices = st.builds(Stride, bounds, bounds, st.none() | st.integers(1, 9))
units = st.none() | slices | st.sets(indices, min_size=1).map(tuple)


def targets():
    def of(site):
        index = st.none() if SITES[site].dims[0] == "token" else indices
        head = st.none() | indices if SITES[site].has_heads else st.none()
        return st.builds(EditTarget, st.just(site), index, head, units)

    return st.sampled_from([name for name, site in SITES.items() if site.editable]).flatmap(of)


edits = (
    st.builds(Skip, st.builds(lambda block: EditTarget("resid", block + 1), indices))
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
        ("skip:block=5", "skip:block=5"),
        ("scale:block=2,factor=0.5", "scale:block=2,factor=0.5"),
        ("scale:factor=5e-1,block=02", "scale:block=2,factor=0.5"),
        ("scale:site=resid,depth=3,factor=1.0", "scale:block=2,factor=1"),
        ("skip:layer=1", "skip:block=1"),
        ("scale:layer=2,units=::2,factor=0.5", "scale:block=2,units=::2,factor=0.5"),
        ("zero:site=blocks.3.attn.hook_q,head=2", "zero:site=q,layer=3,head=2"),
        ("zero:site=blocks.3.attn.hook_q,layer=3", "zero:site=q,layer=3"),
        ("zero:site=hook_mlp_out,layer=3", "zero:site=mlp_out,layer=3"),
        ("skip:site=blocks.3.hook_resid_post", "skip:block=3"),
        ("scale:site=blocks.0.hook_resid_pre,factor=2", "scale:site=resid,depth=0,factor=2"),
        ("scale:site=hook_resid_pre,layer=4,factor=2", "scale:block=3,factor=2"),
        ("scale:site=hook_resid_post,layer=4,factor=2", "scale:block=4,factor=2"),
        ("zero:site=ln_final", "zero:site=final_norm"),
        ("scale:site=hook_resid_pre,depth=0,factor=1", "scale:site=resid,depth=0,factor=1"),
        ("zero:site=attn.hook_k,layer=4,head=2", "zero:site=k,layer=4,head=2"),
        ("zero:site=final_norm,units=5:9", "zero:site=final_norm,units=5:9"),
        ("zero:site=mlp_post,layer=0,units=7+0+07", "zero:site=mlp_post,layer=0,units=0+7"),
        (
            "noise:site=mlp_post,layer=3,units=::2,mean=10,std=1,seed=0",
            "noise:site=mlp_post,layer=3,units=::2,mean=10,std=1,seed=0",
        ),
        ("zero:block=1,units=00:-03:1", "zero:block=1,units=:-3"),
        ("zero:block=1,units=0::02", "zero:block=1,units=::2"),
        ("zero:block=1,units=-0:", "zero:block=1"),
        ("scale:block=1,factor=-0.0", "scale:block=1,factor=0"),
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
        ("skp:block=1", "unknown kind of edit 'skp': did you mean skip"),
        ("skip", "'' is not of the form name=value"),
        ("skip:block", "'block' is not of the form name=value"),
        ("skip:block=1,block=2", "'block=2' is given twice"),
        ("skip:block=-1", "block='-1' is not a whole number"),
        ("skip:block=x", "block='x' is not a whole number"),
        ("skip:site=q,layer=1", "only a block can be skipped"),
        ("skip:block=1,units=::2", "only a block can be skipped"),
        ("skip:site=resid,depth=0", "only a block can be skipped"),
        ("skip:block=1,factor=2", "unknown field 'factor'"),
        ("scale:block=1", "lacks factor="),
        ("scale:block=1,facto=2", "unknown field 'facto': did you mean factor"),
        ("scale:block=1,factor=inf", "factor=inf is not finite"),
        ("scale:block=1,factor=nan", "factor=nan is not finite"),
        ("scale:block=1,factor=x", "factor='x' is not a number"),
        ("scale:block=1,head=2,factor=2", "block= stands for the whole block: leave head= out"),
        ("scale:factor=2", "lacks block=, layer= or site="),
        ("skip:block=1,layer=1", "block= and layer= are the same here: leave one out"),
        ("zero:layer=1,head=2", "layer= stands for the whole block: leave head= out"),
        ("zero:block=1,site=q", "block= stands for the whole block: leave site= out"),
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
        ("zero:site=resid_mid,layer=1", "cannot edit resid_mid"),
        ("zero:site=q", "needs layer="),
        ("zero:site=resid", "needs depth="),
        ("zero:site=resid,layer=1", "resid is counted by depth=, not layer="),
        ("zero:site=q,depth=1", "q is counted by layer=, not depth="),
        ("zero:site=final_norm,layer=1", "has no layer"),
        ("zero:site=mlp_out,layer=1,head=2", "mlp_out has no heads"),
        ("noise:site=q,layer=1,std=-1", "must not be negative"),
        ("noise:site=q,layer=1,seed=1.5", "seed='1.5' is not a whole number"),
        ("noise:site=q,layer=1,seed=-5", "must not be negative"),
        ("noise:site=q,layer=1,units=1-5", "neither a slice"),
        ("noise:site=q,layer=1,units=::0", "neither a slice"),
        ("noise:site=q,layer=1,units=٣:", "neither a slice"),
        (f"skip:block={'9' * 5000}", "is not a whole number"),
        (f"zero:block=1,units=0+{'9' * 5000}", "neither a slice"),
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
        ("skip:block=12", "layer 12: the model has layers 0 to 11"),
        ("zero:site=k,layer=12", "layer 12: the model has layers 0 to 11"),
        ("zero:site=k,layer=1,head=12", "head=12: the model has heads 0 to 11"),
        ("zero:site=k,layer=1,units=64", "units=64: there are units 0 to 63"),
        ("zero:site=k,layer=1,units=70:80", "units=70:80 chooses none of 64 units"),
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
    plain = EditTarget("mlp_post", 0, units=stride).units
    written = slice(None) if plain is None else plain.slice
    np.testing.assert_array_equal(np.arange(3072)[written], np.arange(3072)[stride.slice])
    assert plain is None or EditTarget("mlp_post", 0, units=plain).units == plain


def test_a_negative_zero_is_zero():
    assert str(parse_edit("scale:block=1,factor=-0").factor) == "0.0"


def test_columns_of_units():
    assert parse_edit("zero:site=v,layer=0,head=1,units=0+63").target.columns(GPT2).tolist() == [
        1536 + 64,
        1536 + 127,
    ]
    np.testing.assert_array_equal(
        parse_edit("noise:site=mlp_post,layer=0,units=::2").target.columns(GPT2),
        np.arange(0, 3072, 2),
    )
    every_head = parse_edit("zero:site=z,layer=0,units=5").target.columns(GPT2)
    np.testing.assert_array_equal(every_head, np.arange(12) * 64 + 5)


def test_edits_are_put_in_the_order_of_the_forward_pass():
    texts = [
        "zero:site=final_norm",
        "skip:block=3",
        "zero:site=z,layer=3",
        "scale:block=2,factor=2",
        "zero:site=k,layer=3",
    ]
    ordered = [edit_text(edit) for edit in in_order(map(parse_edit, texts))]
    assert ordered == [
        "scale:block=2,factor=2",
        "zero:site=k,layer=3",
        "zero:site=z,layer=3",
        "skip:block=3",
        "zero:site=final_norm",
    ]


@given(
    st.permutations(
        [
            parse_edit("scale:block=2,factor=2"),
            parse_edit("skip:block=4"),
            parse_edit("zero:site=q,layer=4"),
        ]
    )
)
def test_the_order_given_matters_only_at_one_spot(permuted):
    assert in_order(permuted) == in_order(sorted(permuted, key=edit_text))
    here = [Scale(EditTarget("q", 1), 2.0), Noise(EditTarget("q", 1))]
    assert in_order(here) == tuple(here)
    assert in_order(here[::-1]) == tuple(here[::-1])


@given(st.permutations([Zero(EditTarget("z", 4, head)) for head in range(4)]))
def test_edits_of_several_heads_are_one_run_in_whatever_order_they_are_typed(permuted):
    assert [edit.target.head for edit in in_order(permuted)] == [0, 1, 2, 3]


def test_a_head_and_all_heads_keep_the_order_given():
    one, all_heads, other = (
        Scale(EditTarget("z", 4, 2), 2.0),
        Noise(EditTarget("z", 4)),
        Zero(EditTarget("z", 4, 1)),
    )
    assert in_order([one, all_heads, other]) == (one, all_heads, other)
    assert in_order([all_heads, one, other]) == (all_heads, other, one)


@pytest.mark.parametrize(
    ("text", "layer", "depth", "edits_at_branch"),
    [
        ("skip:block=0", 1, 1, 1),
        ("skip:block=11", 12, 12, 1),
        ("scale:site=resid,depth=0,factor=2", 0, 0, 1),
        ("zero:site=k,layer=0", 0, 1, 0),
        ("zero:site=mlp_out,layer=11", 11, 12, 0),
        ("zero:site=final_norm", 12, 13, 0),
    ],
)
def test_where_a_variant_leaves_its_baseline(text, layer, depth, edits_at_branch):
    branch = Branch.of([parse_edit(text)], GPT2)
    assert (branch.layer, branch.depth, len(branch.edits_at_branch)) == (
        layer,
        depth,
        edits_at_branch,
    )


def test_every_kind_is_documented_in_the_modules_examples():
    from actlas.pipeline.edits import spec as module

    assert all(f"``{kind}:" in module.__doc__ for kind in KINDS)


@pytest.mark.parametrize(
    "record",
    [
        "skip:block=1",
        {"kind": "skip"},
        {"kind": ["skip"], "site": "resid"},
        {"kind": "scale", "site": "resid", "depth": 1},
        {"kind": "scale", "site": "resid", "depth": True, "factor": 1.0},
        {"kind": "scale", "site": "resid", "depth": -1, "factor": 1.0},
        {"kind": "scale", "site": "resid", "layer": 1, "factor": 1.0},
        {"kind": "scale", "site": "q", "layer": 1, "factor": "2"},
        {"kind": "zero", "site": 3, "layer": 1},
        {"kind": "zero", "site": "q", "layer": 1, "units": []},
        {"kind": "zero", "site": "q", "layer": 1, "units": {"step": 0}},
        {"kind": "zero", "site": "q", "layer": 1, "units": {"skip": 1}},
        {"kind": "zero", "site": "q", "layer": 1, "more": 1},
        {"kind": "noise", "site": "q", "layer": 1, "mean": 0.0, "std": 1.0, "seed": 1.5},
    ],
)
def test_what_is_no_record_of_an_edit_is_refused(record):
    with pytest.raises(DamagedStore, match="expected"):
        EditRecord.from_json(record)


PIECES = [
    "skip:",
    "scale:",
    "zero:",
    "noise:",
    "block=",
    "layer=",
    "depth=",
    "site=",
    "head=",
    "units=",
    "factor=",
    "std=",
    "seed=",
]
PIECES += [
    "resid",
    "q",
    "blocks.",
    "blocks.1.",
    "attn.hook_q",
    "hook_resid_pre",
    "hook_resid_post",
    "ln_final",
    "*",
    "|",
    "::2",
]
PIECES += [
    ",",
    ":",
    "=",
    "+",
    "-",
    ".",
    "0",
    "1",
    "0-2",
    "1e400",
    "nan",
    "inf",
    "9" * 30,
    " ",
    "\x1b[2J",
    "٣",
    "\0",
    "\ud800",
]
sweeps = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=14).map("".join)


@settings(max_examples=400)
@given(sweeps | st.lists(st.sampled_from(PIECES), min_size=2).map("".join))
@example("zero:site=blocks.*.attn.hook_q,head=*")
@example("scale:block=0|1|,factor=1")
@example("scale:site=blocks.٣.attn.hook_q,factor=1")
@example(f"scale:block={'0|' * 20_000}0,factor={'1|' * 20_000}1")
@example("zero:" + "block=1," * 50_000)
@example("a" * 10**6)
def test_any_text_is_edits_or_one_short_line(text):
    try:
        found = expand([text], SMALL)
    except UsageError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1500
        return
    for edit in found:
        assert parse_edit(edit_text(edit)) == edit
        assert EditRecord.from_json(edit_record(edit).to_json()).text == edit_text(edit)

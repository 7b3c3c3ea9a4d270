"""The order of edits that act together, and where they leave the baseline."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.pipeline.edits.branch import Branch
from actlas.pipeline.edits.spec import (
    EditTarget,
    Noise,
    Scale,
    Zero,
    edit_text,
    in_order,
    parse_edit,
)
from tests.pipeline.edits.architectures import GPT2


def test_edits_are_put_in_the_order_of_the_forward_pass():
    texts = [
        "zero:site=final_norm",
        "skip:layer=3",
        "zero:site=z,layer=3",
        "scale:layer=2,factor=2",
        "zero:site=k,layer=3",
    ]
    ordered = [edit_text(edit) for edit in in_order(map(parse_edit, texts))]
    assert ordered == [
        "scale:layer=2,factor=2",
        "zero:site=k,layer=3",
        "zero:site=z,layer=3",
        "skip:layer=3",
        "zero:site=final_norm",
    ]


@given(
    st.permutations(
        [
            parse_edit("scale:layer=2,factor=2"),
            parse_edit("skip:layer=4"),
            parse_edit("zero:site=q,layer=4"),
        ]
    )
)
def test_the_order_given_matters_only_at_one_target(permuted):
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
        ("skip:layer=0", 1, 1, 1),
        ("skip:layer=11", 12, 12, 1),
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

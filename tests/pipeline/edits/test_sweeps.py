"""Expansion of one text into many edits."""

from dataclasses import replace

import pytest

from actlas.pipeline.edits.grid import expand
from actlas.pipeline.edits.spec import edit_text
from actlas.pipeline.models.architecture import Architecture
from actlas.pipeline.models.families.gpt.gpt2 import GPT2 as FAMILY
from actlas.pipeline.models.families.llama.qwen3 import QWEN3
from actlas.pipeline.models.geometry import Geometry
from actlas.store import UsageError

SMALL = Architecture(FAMILY, Geometry(3, 2, 8, 4, 32, 9, 50))


@pytest.mark.parametrize(
    ("text", "edits"),
    [
        ("skip:layer=*", ["skip:layer=0", "skip:layer=1", "skip:layer=2"]),
        ("skip:layer=1-2", ["skip:layer=1", "skip:layer=2"]),
        ("skip:layer=2|0", ["skip:layer=2", "skip:layer=0"]),
        ("skip:layer=0-1|1-2", ["skip:layer=0", "skip:layer=1", "skip:layer=2"]),
        ("scale:layer=1,factor=0.5|1.5", ["scale:layer=1,factor=0.5", "scale:layer=1,factor=1.5"]),
        ("skip:layer=0-1", ["skip:layer=0", "skip:layer=1"]),
        (
            "zero:site=blocks.*.attn.hook_z,head=1",
            [f"zero:site=z,layer={layer},head=1" for layer in range(3)],
        ),
        ("scale:layer=1,factor=-2", ["scale:layer=1,factor=-2"]),
        (
            "scale:site=resid,depth=*,factor=2",
            ["scale:site=resid,depth=0,factor=2", *(f"scale:layer={b},factor=2" for b in range(3))],
        ),
        (
            "zero:site=k|z,layer=1,head=*",
            [f"zero:site={site},layer=1,head={head}" for site in "kz" for head in range(2)],
        ),
        (
            "noise:site=mlp_post,layer=0,neurons=::2|1::2,seed=0-1",
            [
                f"noise:site=mlp_post,layer=0,neurons={units},mean=0,std=1,seed={seed}"
                for units in ("::2", "1::2")
                for seed in (0, 1)
            ],
        ),
    ],
)
def test_expansion(text, edits):
    assert [edit_text(edit) for edit in expand([text], SMALL)] == edits


def test_several_texts_are_joined_and_repetitions_left_out():
    assert [edit_text(edit) for edit in expand(["skip:layer=1", "skip:layer=0-1"], SMALL)] == [
        "skip:layer=1",
        "skip:layer=0",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("skip:layer=2-1", "layer=2-1: expected the smaller number first"),
        ("skip:layer=0-3", "layer 3: the model has layers 0 to 2"),
        ("skip:layer=0-99999999", "10,000 at most"),
        ("zero:site=k,layer=*,head=2", "head=2: the model has heads 0 to 1"),
        ("zero:site=*,layer=1", r"unknown site '\*'"),
        ("scale:layer=1,factor=*", r"factor='\*' is not a number"),
        ("noise:site=q,layer=*,head=*,seed=0-9998", "has 59,994 variants, expected 10,000 at most"),
        ("skip:layer=|", "an alternative is empty"),
    ],
)
def test_bad_sweeps(text, message):
    with pytest.raises(UsageError, match=message):
        expand([text], SMALL)


def test_heads_of_keys_are_counted_as_keys_have_them():
    architecture = Architecture(QWEN3, Geometry(2, 6, 48, 8, 20, 9, 50, n_kv_head=3))
    for site, heads in (("q", 6), ("k", 3), ("v", 3), ("k|v", 3), ("k_normed", 3), ("q_normed", 6)):
        edits = expand([f"zero:site={site},layer=1,head=*"], architecture)
        assert len(edits) == heads * (1 + site.count("|"))


def test_a_head_before_a_norm_over_all_heads_is_refused():
    rows = {**QWEN3.rows, "q": replace(QWEN3.rows["q"], edit="whole")}
    architecture = Architecture(
        replace(QWEN3, rows=rows), Geometry(2, 6, 48, 8, 20, 9, 50, n_kv_head=3)
    )
    assert len(expand(["zero:site=q,layer=1"], architecture)) == 1
    for part in ("head=2", "dims=0"):
        with pytest.raises(UsageError, match=r"a norm over all heads.*expected site=q_normed"):
            expand([f"zero:site=q,layer=1,{part}"], architecture)

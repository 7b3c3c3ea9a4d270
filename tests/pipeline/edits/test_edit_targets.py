"""Every kind of edit at every target with every selector.

What the package says of it is what the oracle computes.
"""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.analysis.reconstruction.compute import Precision, broken, edited_layers, reconstruction
from actlas.analysis.scan.declaration import skipped_layer
from actlas.pipeline.edits.branch import Branch
from actlas.pipeline.edits.spec import KINDS, edit_record, edit_text, in_order, parse_edit
from actlas.pipeline.models.architecture import Architecture
from actlas.pipeline.models.families.gpt.gpt2 import GPT2 as FAMILY
from actlas.pipeline.models.geometry import Geometry
from actlas.pipeline.models.sites import SITES
from actlas.store.format.edit_records import branch_of, read_edits
from actlas.store.format.run_names import variant_suffix
from actlas.store.format.schema import canonical
from tests import oracle
from tests.edited_oracle import changing

LAYERS, HEADS, D_HEAD, D_MLP, POSITIONS, VOCABULARY = 2, 2, 3, 7, 5, 11
D_MODEL = HEADS * D_HEAD
MODEL = Architecture(FAMILY, Geometry(LAYERS, HEADS, D_MODEL, D_HEAD, D_MLP, POSITIONS, VOCABULARY))
TOKENS = np.array([3, 1, 4, 1, 5])
VALUES = {"skip": "", "scale": ",factor=-3.5", "zero": "", "noise": ",mean=2,std=3,seed=4"}
CHOICES = ("", "::2", "-2:", "0+2")


def targets():
    """Every place an edit can name, in each of its spellings."""
    yield from (f"layer={layer}" for layer in range(LAYERS))
    yield from (f"site=resid,depth={depth}" for depth in range(LAYERS + 1))
    for layer in range(LAYERS):
        yield from (f"site=blocks.{layer}.hook_resid_{side}" for side in ("pre", "post"))
        yield f"site=hook_resid_post,layer={layer}"
        for site in SITES.values():
            if site.editable and site.dims[0] == "layer" and site.name in FAMILY.rows:
                names = (
                    f"site={site.name},layer={layer}",
                    f"site=blocks.{layer}.{site.aliases[0]}",
                )
                heads = ("", *(f",head={head}" for head in range(HEADS) if site.has_heads))
                yield from (f"{name}{head}" for name in names for head in heads)
    yield "site=final_norm"


def is_output(target):
    """Whether a target is all of a layer's output, which alone can be skipped."""
    return target.startswith("layer") or "resid_post" in target or target in OUTPUTS


OUTPUTS = [f"site=resid,depth={layer + 1}" for layer in range(LAYERS)]


def texts():
    """Every kind × target × selector."""
    for kind in KINDS:
        for target in targets():
            if kind != "skip":
                name = "neurons" if "mlp_p" in target or "mlp.hook_p" in target else "dims"
                for choice in CHOICES:
                    chosen = f",{name}={choice}" if choice else ""
                    yield f"{kind}:{target}{chosen}{VALUES[kind]}"
            elif is_output(target):
                yield f"skip:{target}"


@pytest.fixture(scope="module")
def weights():
    random = np.random.default_rng(0)
    shapes = {"wte.weight": (VOCABULARY, D_MODEL), "wpe.weight": (POSITIONS, D_MODEL)}
    shapes |= {f"ln_f.{part}": (D_MODEL,) for part in ("weight", "bias")}
    for layer in range(LAYERS):
        linear = {"attn.c_attn": (D_MODEL, 3 * D_MODEL), "attn.c_proj": (D_MODEL, D_MODEL)}
        linear |= {"mlp.c_fc": (D_MODEL, D_MLP), "mlp.c_proj": (D_MLP, D_MODEL)}
        for name, shape in linear.items():
            shapes |= {f"h.{layer}.{name}.weight": shape, f"h.{layer}.{name}.bias": shape[1:]}
        shapes |= {
            f"h.{layer}.ln_{n}.{part}": (D_MODEL,) for n in (1, 2) for part in ("weight", "bias")
        }
    return {name: random.normal(size=shape) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def clean(weights):
    return oracle.activations(weights, TOKENS, HEADS)


def as_dataset(found):
    dims = {name: SITES[name].dims for name in ("resid", "attn_out", "mlp_out", "resid_mid")}
    return xr.Dataset({name: (dims[name], found[name]) for name in dims}).chunk()


def check(weights, clean, edits):
    """Hold what the package says of ``edits`` against the oracle with these edits."""
    ordered = in_order(map(parse_edit, edits))
    found = oracle.activations(
        weights, TOKENS, HEADS, change=changing([edit_text(edit) for edit in ordered], TOKENS)
    )
    kept = {"edits": [edit_record(edit).to_json() for edit in ordered]}
    records = read_edits(json.loads(canonical(kept)))
    branch = Branch.of(ordered, MODEL)
    assert branch_of(records, LAYERS) == (branch.layer, branch.depth)
    differs = [
        np.abs(one - other).max() > 0
        for one, other in zip(found["resid"], clean["resid"], strict=True)
    ]
    assert differs.index(True) == branch.depth if any(differs) else branch.depth == LAYERS + 1, (
        edits
    )
    for site in ("q", "k", "v", "z", "attn_out", "mlp_pre", "mlp_post", "mlp_out"):
        np.testing.assert_array_equal(
            found[site][: branch.first(site)], clean[site][: branch.first(site)]
        )
    error = np.abs(
        found["resid"][:-1] + found["attn_out"] + found["mlp_out"] - found["resid"][1:]
    ).max((1, 2))
    assert np.flatnonzero(error > 1e-9).tolist() == edited_layers(records), edits
    return records, found


def test_one_edit_of_every_kind_at_every_target_with_every_selector(weights, clean):
    every = list(texts())
    assert len(every) > 300
    checked = {}
    for text in every:
        record = edit_record(parse_edit(text))
        if record.text not in checked:  # spellings of one edit are one record
            checked[record.text], _ = check(weights, clean, [text])
        assert checked[record.text] == (record,)
    suffixes = {variant_suffix(records) for records in checked.values()}
    assert len(suffixes) == len(checked)
    skipping = {
        skipped_layer(records) for text, records in checked.items() if text.startswith("skip:")
    }
    assert skipping == set(range(LAYERS))
    assert all(
        skipped_layer(records) is None
        for text, records in checked.items()
        if not text.startswith("skip:")
    )


@pytest.mark.slow
@settings(max_examples=20)
@given(st.lists(st.sampled_from(list(texts())), min_size=1, max_size=4))
def test_several_edits_in_one_pass(weights, clean, edits):
    records, found = check(weights, clean, edits)
    assert skipped_layer(records) is None or len(edits) == 1
    result = reconstruction(as_dataset(found), Precision()).compute()
    assert broken(result, edited_layers(records)) == []
    assert {layer for _, layer in broken(result)} == set(edited_layers(records))

"""One architecture is one object.

Its layouts by plain NumPy, and no name of it outside its folder.
"""

import io
import re
import tokenize as python_tokens
from pathlib import Path

import numpy as np
import pytest
import torch

from actlas.pipeline.extraction.hooks import Start, blocks_return_tuples, captured, run_captured
from actlas.pipeline.models.architecture import Architecture
from actlas.pipeline.models.families.gpt.gpt2 import GPT2
from actlas.pipeline.models.folder import load, resolve
from actlas.pipeline.models.geometry import Geometry
from actlas.pipeline.models.picks import WHOLE, as_index, fused, grouped, half
from actlas.pipeline.models.registry import FAMILIES
from actlas.pipeline.models.sites import SITES, layout
from actlas.store import UsageError

ROOT = Path(__file__).parents[3]
H, K, D = 6, 2, 5  # heads, key heads, columns of a head
GEOMETRY = Geometry(3, H, 17, D, 23, 9, 50, n_kv_head=K)
#: words of one architecture: module paths, fields of its configuration, classes of transformers
NAMES = re.compile(
    r"\b(GPT2\w*|transformer\.h\b|c_attn|c_proj|c_fc|ln_[12f]\b|wte|wpe|lm_head"
    r"|[qkvo]_proj|(gate|up|down|qkv)_proj|query_key_value|dense_\w+|embed_(in|out|tokens)"
    r"|model\.layers|gpt_neox\.\w+|rms_norm_eps|rope_\w+|rotary_\w+|(Llama|Bert|Gemma)\w+"
    r"|n_embd|n_inner|n_positions|n_ctx|\w+_pdrop|layer_norm_epsilon|scale_attn\w*|model\.transformer)"
)
#: each says why it may
EXCEPTED = {
    "pipeline/models/": "where families are",
    "scripts/dev/train_demo_model.py": "makes a GPT-2",
    "scripts/dev/demo_card.py": "is the card of that GPT-2",
    "scripts/bench/": "compares with hooks and other libraries, written for GPT-2 by hand",
}


def code_of(path):
    """Names and texts of a module; comments and docstrings may name examples."""
    for token in python_tokens.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == python_tokens.NAME or (
            token.type == python_tokens.STRING and '"""' not in token.string
        ):
            yield token.start[0], token.string


def test_nothing_outside_the_folder_of_models_names_an_architecture():
    found = []
    for folder in ("pipeline", "store", "analysis", "scripts", "actlas"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if (ROOT / folder).is_symlink() or name.startswith(tuple(EXCEPTED)):
                continue
            found += [f"{name}:{line} {text}" for line, text in code_of(path) if NAMES.search(text)]
    assert not found


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_family_has_rows_of_sites_alone(family):
    assert set(family.rows) <= set(SITES)
    assert ("nll" in family.rows) == ("final_norm" in family.rows) == family.causal
    assert set(family.norms) == ({"resid", "resid_mid"} if family.law == "post" else set())
    assert ("resid_mid" in family.rows) == (family.law != "parallel")


def test_columns_of_every_layout_under_grouped_queries():
    q, k, v = (np.arange(n * D).reshape(n, D) for n in (H, K, K))
    x = np.concatenate([q.ravel(), 1000 + k.ravel(), 2000 + v.ravel()])
    for part, heads in enumerate((H, K, K)):
        columns = fused(part).columns(heads, D, GEOMETRY)
        np.testing.assert_array_equal(x[columns] % 1000, np.arange(heads * D).reshape(heads, D))
        assert (x[columns] // 1000 == part).all()
    of_group = H // K
    groups = [
        np.concatenate([q[g * of_group : (g + 1) * of_group].ravel(), 1000 + k[g], 2000 + v[g]])
        for g in range(K)
    ]
    x = np.concatenate(groups)
    for part, heads in enumerate((H, K, K)):
        columns = grouped(part).columns(heads, D, GEOMETRY)
        np.testing.assert_array_equal(x[columns] % 1000, np.arange(heads * D).reshape(heads, D))
        assert (x[columns] // 1000 == part).all()
    np.testing.assert_array_equal(half(1).columns(1, 23, GEOMETRY), [np.arange(23, 46)])
    np.testing.assert_array_equal(WHOLE.columns(H, D, GEOMETRY).ravel(), np.arange(H * D))


def test_an_index_is_a_slice_where_it_can_be():
    assert as_index(fused(1).columns(K, D, GEOMETRY)) == slice(H * D, (H + K) * D)
    assert as_index(WHOLE.columns(1, 4, GEOMETRY), 4) == slice(None)
    assert isinstance(as_index(grouped(1).columns(K, D, GEOMETRY)), np.ndarray)


def test_keys_have_a_dim_of_their_own_only_where_they_are_fewer():
    assert layout("k", GEOMETRY, 7, "float32").dims == ("layer", "token", "kv_head", "d_head")
    assert layout("k", GEOMETRY, 7, "float32").shape == (3, 7, K, D)
    same = Geometry(3, H, H * D, D, 23, 9, 50)
    assert layout("k", same, 7, "float32").dims == ("layer", "token", "head", "d_head")


def test_a_site_that_a_family_lacks_is_refused_with_those_it_has():
    rows = {name: row for name, row in GPT2.rows.items() if name != "resid_mid"}
    parallel = Architecture.of(
        _replaced(GPT2, changes=lambda _: {"law": "parallel", "rows": rows}), GPT2.config.defaults
    )
    with pytest.raises(
        UsageError,
        match=r"gpt2 has no site resid_mid: attention and .*; expected one of resid, q, ",
    ):
        parallel.hook_points(["resid_mid"])


def _replaced(family, **changes):
    from dataclasses import replace

    return replace(family, **changes)


def test_a_pass_from_any_depth_gives_the_same_numbers(small_model):
    """Blocks before are passed over, the list of blocks stays whole, and nothing is left behind."""
    folder = resolve(str(small_model))
    model = load(folder, dtype=torch.float32, device=torch.device("cpu"), attention="sdpa")
    architecture, ids = folder.architecture, torch.tensor([[3, 1, 4, 1, 5]])
    points = architecture.hook_points(["resid", "final_norm"])
    whole, found = {}, {}
    in_tuple = blocks_return_tuples(model, architecture)
    with torch.inference_mode():
        run_captured(model, architecture, ids, points, lambda p, x: whole.update({p.key: x}))
        for layer in range(folder.geometry.n_layer + 1):
            found.clear()
            later = [p for p in points if p.site.name != "resid" or p.index >= layer]
            start = Start(layer, whole["resid", layer], in_tuple)
            run_captured(
                model, architecture, ids, later, lambda p, x: found.update({p.key: x}), start
            )
            assert all(torch.equal(found[key], whole[key]) for key in found)
            assert found.keys() == {p.key for p in later}
    assert not any("forward" in vars(module) for module in model.modules())
    with captured(model, points, lambda *_: None):
        pass
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())

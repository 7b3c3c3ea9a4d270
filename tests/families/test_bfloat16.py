"""Half precision: what is stored is what hooks on transformers' own model see, bit for bit."""

import warnings

import numpy as np
import pytest
import torch
import transformers

from tests.families.modules import places
from tests.families.test_oracle import hooked
from tests.families.tiny import class_of
from tests.families.tried import Tried

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SITES = ("resid", "q", "k", "v", "z", "attn_out", "mlp_pre", "mlp_post", "mlp_out", "final_norm")


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt_neox"])
def test_what_is_stored_is_what_hooks_see(tmp_path, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tried = Tried(tmp_path, name, ("Mary lost her key in the garden.",))
    run = tried.extracted(tried.plan(SITES, dtype="bfloat16"))
    dataset, ids = run.dataset(check=True), run.labels.token["token_id"].astype(np.int64)
    seen = hooked_values(tried, torch.from_numpy(ids)[None])
    assert set(SITES) - {"final_norm", "resid"} <= seen.keys()
    for site, wanted in seen.items():
        got = dataset[site].values if site == "final_norm" else dataset[site].values[: len(wanted)]
        np.testing.assert_array_equal(got.reshape(wanted.shape), wanted, err_msg=site)


def hooked_values(tried, ids):
    """Return site → (layer or depth, token, …) float32, of a plain bfloat16 forward pass."""
    config = tried.model.config
    options = {"dtype": torch.bfloat16, "attn_implementation": tried.attentions[0]}
    model_class = getattr(transformers, class_of(config["model_type"]))
    model = model_class.from_pretrained(tried.folder, **options).eval()
    path, table = places(config)
    found = {}
    for site in set(SITES) & table.keys():
        place, kept = table[site], []
        for block in model.get_submodule(path):
            with hooked(block.get_submodule(place.module), place.side, kept.append):
                model(ids, use_cache=False)
        found[site] = np.stack([in_float32(place.read(value)) for value in kept])
    with torch.no_grad():
        hidden = model(ids, use_cache=False, output_hidden_states=True).hidden_states
    found["resid"] = np.stack([in_float32(each[0]) for each in hidden[:-1]])
    found["final_norm"] = in_float32(hidden[-1][0])
    return found


def in_float32(value):
    """Return bfloat16 numbers in float32, which has them all."""
    return value.detach().float().numpy()

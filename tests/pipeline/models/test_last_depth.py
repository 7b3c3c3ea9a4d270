"""The last depth, the final LayerNorm and what transformers calls the last hidden state.

Which is which.
"""

import numpy as np
import pytest

from tests.extraction import extract_texts
from tests.small_model import TEXTS

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def model(small_model):
    transformers = pytest.importorskip("transformers")
    return transformers.GPT2LMHeadModel.from_pretrained(small_model, use_safetensors=True).eval()


@pytest.fixture(scope="module")
def run(small_model, tmp_path_factory):
    return extract_texts(
        tmp_path_factory.mktemp("last") / "store",
        small_model,
        TEXTS,
        ("resid", "final_norm"),
        unit_tokens=60,
    )[0]


def near(one, other):
    return np.abs(one - other).max() <= TOLERANCE * np.abs(other).max()


def test_the_final_norm_of_the_last_depth_is_final_norm(run, model):
    import torch

    dataset = run.dataset()
    last = dataset["resid"].isel(depth=-1).values
    with torch.inference_mode():
        normed = model.transformer.ln_f(torch.from_numpy(last.copy())).numpy()
    assert near(normed, dataset["final_norm"].values)
    assert not near(last, dataset["final_norm"].values)


def test_transformers_last_hidden_state_is_final_norm_and_not_the_last_depth(run, model):
    import torch

    dataset, ends = run.dataset(), np.cumsum(run.labels.row_size)
    ids = run.labels.token["token_id"].astype(np.int64)
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        with torch.inference_mode():
            states = model(
                torch.from_numpy(ids[None, start:end].copy()),
                output_hidden_states=True,
                use_cache=False,
            )
        hidden = [state[0].numpy() for state in states.hidden_states]
        assert len(hidden) == dataset.sizes["depth"]
        assert near(hidden[-1], dataset["final_norm"].values[start:end])
        assert not near(hidden[-1], dataset["resid"].values[-1, start:end])
        assert near(hidden[-2], dataset["resid"].values[-2, start:end])

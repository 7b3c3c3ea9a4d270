"""Sites that follow from what is stored, of every family, against the oracle; and refusals."""

import numpy as np
import pytest

from actlas.store import DamagedStore, UsageError
from tests.families.tiny import save_tiny
from tests.tiny_runs.readouts import heads_of
from tests.tiny_runs.storing import stored

ROTARY = ("q_rot", "k_rot")
#: turned by positions: queries and keys as the scores have them are to be stored
PLAIN, NORMED = ("q", "k"), ("q_normed", "k_normed")
FEW = [
    *(("gpt_neox", ROTARY), ("gpt_neox", PLAIN), ("gemma2", PLAIN), ("gptj", PLAIN)),
    *(("phi", PLAIN), ("olmo2", NORMED)),
    *(("gpt_neo", PLAIN), ("bert", PLAIN), ("llama-yarn", PLAIN), ("llama-llama3-rope", PLAIN)),
]
SLOW = [
    *((name, kind) for name in ("llama", "mistral", "qwen2-sliding") for kind in (ROTARY, PLAIN)),
    *((name, PLAIN) for name in ("phi3", "gemma", "llama-linear-rope", "roberta")),
    *((name, NORMED) for name in ("qwen3", "gemma3", "gemma3_text-capped")),
    *(("gemma3", ROTARY), ("gpt_neox-sequential", PLAIN)),
]
NAMES = [*FEW, *(pytest.param(*each, marks=pytest.mark.slow) for each in SLOW)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = {}

    def of(name):
        if name not in made:
            made[name] = save_tiny(tmp_path_factory.mktemp(name) / "model", name)
        return made[name]

    return of


@pytest.mark.parametrize(("name", "scored"), NAMES)
def test_pattern_and_z(folder, tmp_path, name, scored):
    run, every = stored(tmp_path / "store", folder(name), (*scored, "v"))
    dataset = run.dataset(("pattern", "z"))
    assert dataset["pattern"].dims == ("layer", "token", "head", "key")
    assert dataset["pattern"].attrs["derived"] == f"from {' '.join(scored)}"
    np.testing.assert_allclose(dataset["pattern"].sum("key"), 1, atol=1e-6)
    np.testing.assert_allclose(dataset["pattern"], every["pattern"], atol=2e-6)
    z = every["z"]
    np.testing.assert_allclose(dataset["z"], z, atol=5e-6 * np.abs(z).max())
    assert list(dataset.data_vars) == ["pattern", "z"]


def test_z_from_a_stored_pattern_and_what_heads_add(folder, tmp_path):
    name = "llama-biases"
    run, every = stored(tmp_path / "store", folder(name), ("pattern", "v", "resid", "attn_out"))
    heads = heads_of(tmp_path / "store", folder(name))
    dataset = run.dataset(("z", "head_out", "resid_mid", "resid"))
    assert dataset["z"].attrs["derived"] == "from pattern v"
    assert "derived" not in dataset["resid"].attrs
    np.testing.assert_allclose(dataset["z"], every["z"], atol=1e-5)
    added = (
        dataset["head_out"].sum("head")
        + np.stack([heads.b_o(layer) for layer in range(3)])[:, None]
    )
    np.testing.assert_allclose(added, every["attn_out"], atol=1e-5)
    np.testing.assert_allclose(dataset["resid_mid"], every["resid_mid"], atol=1e-5)


def test_building_computes_nothing_and_layers_are_read_alone(folder, tmp_path, forbid_compute):
    run, _ = stored(tmp_path / "store", folder("gpt_neo"), ("q", "k", "v"))
    dataset = run.dataset(("pattern", "z"))
    assert (
        dataset["z"].data.chunks[:2]
        == dataset["pattern"].data.chunks[:2]
        == (
            (1, 1, 1, 1),
            (11, 9),
        )
    )


@pytest.mark.parametrize(
    ("name", "sites", "site", "message"),
    [
        ("qwen3", PLAIN, "pattern", r"that takes q_normed k_normed too \(`actlas extract … "),
        ("gpt_neo", ("q", "k"), "z", r"that takes v too \(`actlas extract … --site v` adds it\)"),
        ("gpt_neox", ("resid", "attn_out"), "resid_mid", "with nothing between"),
        ("gpt_neo", ("resid",), "head_out", "that takes q k too"),
    ],
)
def test_what_does_not_follow_says_why(folder, tmp_path, name, sites, site, message):
    run, _ = stored(tmp_path / "store", folder(name), sites)
    with pytest.raises(UsageError, match=message):
        run.dataset((site,))


def test_edits_and_dropout_are_not_guessed(folder, tmp_path):
    zero = [{"kind": "zero", "site": "z", "layer": 1, "head": 0}]
    run, _ = stored(tmp_path / "store", folder("gpt_neo"), ("q", "k", "v"), edits=zero)
    with pytest.raises(UsageError, match="an edit changed z itself"):
        run.dataset(("z",))
    assert "pattern" in run.dataset(("pattern",))
    numerics = {"dtype": "float32", "stored_dtype": "float32", "mode": "train", "seed": 0}
    other, _ = stored(tmp_path / "other", folder("gpt_neo"), ("q", "k", "v"), numerics=numerics)
    with pytest.raises(UsageError, match="dropout changed the weights"):
        other.dataset(("pattern",))


@pytest.mark.parametrize(
    "record",
    [
        {"scale": [1.0], "cap": None, "window": [None], "rotary": None},
        {"scale": "x", "cap": None, "window": [None] * 4, "rotary": None},
        {"scale": [1.0] * 4, "cap": [], "window": [None] * 4, "rotary": None},
        {"scale": [1.0] * 4, "cap": None, "window": [None] * 4, "rotary": {"pairs": 1}},
        {"scale": [1.0] * 4, "cap": None, "window": [None] * 4},
    ],
)
def test_a_record_that_is_none_is_refused(folder, tmp_path, record):
    run, _ = stored(tmp_path / "store", folder("gpt_neo"), ("q", "k", "v"))
    run.description["model"]["attention"] = record
    with pytest.raises(DamagedStore, match="its record of attention is not valid"):
        run.dataset(("pattern",))

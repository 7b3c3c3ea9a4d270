"""The oracles against transformers' own models in float64, for every tiny model."""

import json
from contextlib import contextmanager
from copy import deepcopy
from functools import cache

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from tests.families.modules import places
from tests.families.oracle import activations
from tests.families.tiny import TINY, class_of, save_tiny, spelled_5

# transformers rounds norms, rotary positions and the softmax to float32 whatever the weights are
TOLERANCE = 1e-5
LAYER = 1
MAJOR = int(transformers.__version__.split(".")[0])


@pytest.fixture(scope="module", params=TINY)
def tiny(request, tmp_path_factory):
    if request.param == "gemma-first-files" and MAJOR < 5:
        pytest.skip("transformers 4 takes the exact GELU for the tanh form that is meant")
    return Tiny(save_tiny(tmp_path_factory.mktemp("tiny") / request.param, request.param))


class Tiny:
    """A folder, read by both."""

    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = load_file(folder / "model.safetensors")
        model_class = getattr(transformers, class_of(self.config["model_type"]))
        options = {"dtype": torch.float64, "attn_implementation": "eager"}
        self.model = model_class.from_pretrained(folder, **options).eval()
        self.text = self.config.get("text_config", self.config)
        self.path, self.places = places(self.text)
        if "text_config" in self.config:
            self.path = "model.language_model.layers"
        self.blocks = self.model.get_submodule(self.path)
        self.by_hand = cache(self._by_hand)

    def _by_hand(self, tokens):
        return activations(self.config, self.weights, sentence(tokens))

    def run(self, tokens):
        """Return the model's outputs, all hidden states and attention weights among them."""
        ids = torch.from_numpy(sentence(tokens))[None]
        with torch.no_grad():
            return self.model(ids, output_hidden_states=True, output_attentions=True)

    def module(self, place):
        return self.blocks[LAYER].get_submodule(place.module)


def sentence(tokens):
    return np.random.default_rng(tokens).integers(5, 150, tokens)


def close(found, expected):
    found = found.numpy() if isinstance(found, torch.Tensor) else found
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


@contextmanager
def hooked(module, side, change):
    """Give the input or output of ``module`` to ``change``; put what it returns in its place."""

    def before(_module, args):
        new = change(args[0])
        return None if new is None else (new, *args[1:])

    def after(_module, _args, output):
        return change(output)

    register = module.register_forward_pre_hook if side == "in" else module.register_forward_hook
    handle = register(before if side == "in" else after)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize("tokens", [3, 14])
def test_outputs(tiny, tokens):
    found, expected = tiny.run(tokens), tiny.by_hand(tokens)
    hidden = torch.cat(found.hidden_states)
    close(hidden[:-1], expected["resid"][:-1])
    close(torch.cat(found.attentions).transpose(1, 2), expected["pattern"])
    if "final_norm" not in expected:
        close(hidden[-1], expected["resid"][-1])
        return
    close(hidden[-1], expected["final_norm"])
    close(found.logits[0], expected["logits"])
    ids = torch.from_numpy(sentence(tokens))
    loss = torch.nn.functional.cross_entropy(found.logits[0, :-1], ids[1:], reduction="none")
    assert np.isnan(expected["nll"][0])
    close(loss, expected["nll"][1:])


def test_sites_of_a_block(tiny):
    expected = tiny.by_hand(14)
    for site, place in tiny.places.items():
        found = []
        with hooked(tiny.module(place), place.side, found.append):
            tiny.run(14)
        close(place.read(found[0]), expected[site][LAYER])


def test_changed_sites(tiny):
    """Scaling a site where a hook reaches all who read it."""
    for site, place in tiny.places.items():
        if site == "resid_mid" and place.side == "in":
            continue  # the hook reaches the MLP alone

        def change(value, place=place):
            return place.scaled(value, 0.5)

        with hooked(tiny.module(place), place.side, change):
            found = tiny.run(14)
        expected = changed(tiny, site, lambda value: 0.5 * value)
        close(torch.cat(found.hidden_states[:-1]), expected["resid"][:-1])
        assert np.abs(expected["resid"] - tiny.by_hand(14)["resid"]).max() > 1e-3


def test_changed_stream(tiny):
    with hooked(tiny.blocks[LAYER], "in", lambda value: 0.5 * value):
        found = tiny.run(14)
    expected = changed(tiny, "resid", lambda value: 0.5 * value)
    close(found.attentions[-1][0].transpose(0, 1), expected["pattern"][-1])


def test_changed_middle_of_the_stream(tiny):
    """What is added to attn_out is added to the stream, where no norm follows."""
    expected = tiny.by_hand(14)
    if "resid_mid" not in expected or "final_norm" not in expected:
        pytest.skip("no resid_mid, or a norm follows it")
    first, second = (
        changed(tiny, site, lambda value: value + 1) for site in ("resid_mid", "attn_out")
    )
    close(first["logits"], second["logits"])


def test_spelling_of_transformers_5(tiny):
    config = spelled_5(tiny.config)
    found = activations(config, tiny.weights, sentence(14))
    np.testing.assert_array_equal(found["resid"], tiny.by_hand(14)["resid"])
    if MAJOR >= 5:
        read = type(tiny.model.config).from_dict
        expected = read(deepcopy(tiny.config)).to_dict()
        assert read(deepcopy(config)).to_dict() == without_type(expected)


def without_type(value):
    """Return the fields without ``type``, which 5 keeps beside the rope_type that it is."""
    if not isinstance(value, dict):
        return value
    return {key: without_type(part) for key, part in value.items() if key != "type"}


def changed(tiny, site, function):
    def change(name, index, value):
        return function(value) if (name, index) == (site, LAYER) else value

    return activations(tiny.config, tiny.weights, sentence(14), change)

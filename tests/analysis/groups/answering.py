"""A stored run whose heads and answers can be studied, made without a model: random numbers."""

import numpy as np

from actlas.store import Store
from actlas.store.readouts.words import word_bytes
from actlas.store.readouts.writing import NewArray, add_readout
from tests.store.laws import NUMERICS, SIZES, LawContent
from tests.store.making import make_run, make_variant

MODEL = {"family": "made", "weights": "a" * 32, "config": "b" * 32}
VOCABULARY = 12
LAYERS = SIZES["layer"]
ATTENTION = {"scale": [0.5] * LAYERS, "cap": None, "window": [None] * LAYERS, "rotary": None}
FACTS = {
    "norm": {"kind": "rms", "epsilon": 1e-5},
    "cap": None,
    "scale": 1.0,
    "head": "plain",
    "activation": "",
    "tokenizer": "",
    "mask": None,
}
ZERO = {"kind": "zero", "site": "z", "layer": 1, "head": 2}


def answering_run(store):
    """Return a run with its content; token ``i`` of its vocabulary is called ``t<i>``."""
    record = {"law": "add", "causal": True, "attention": ATTENTION}
    content = LawContent(law="add", record=record)
    run = make_run(store, content, "it", numerics=NUMERICS, tokens="t" * 16, edits=[], model=MODEL)
    random = np.random.default_rng(1)
    lengths, characters = word_bytes([f"t{number}" for number in range(VOCABULARY)])
    width, heads = SIZES["d_model"], (LAYERS, SIZES["head"], SIZES["d_head"], SIZES["d_model"])
    output = {
        "unembed": _array(("vocabulary", "d_model"), random.normal(size=(VOCABULARY, width))),
        "gain": _array(("d_model",), random.normal(1, 0.1, width)),
        "vocabulary_length": NewArray(
            ("vocabulary",), lengths.shape, "int32", "", lambda: [lengths.tobytes()]
        ),
        "vocabulary_bytes": NewArray(
            ("character",), (len(characters),), "bytes", "", lambda: [characters]
        ),
    }
    add_readout(store, MODEL, "output", FACTS, output)
    matrices = _array(("layer", "head", "d_head", "d_model"), random.normal(size=heads))
    add_readout(store, MODEL, "heads", {}, {"w_o": matrices})
    return run, content


def without_a_head(store, run, content):
    """Return a variant of the run in which head 2 of layer 1 is zeroed."""
    other = LawContent(law="add", record=content.record, edited=True)
    return Store(store).name(make_variant(store, run, other, edits=(ZERO,)), "removed")


def _array(dims, values):
    stored = np.ascontiguousarray(values, np.float32)
    return NewArray(dims, stored.shape, "float32", "", lambda: [stored.tobytes()])

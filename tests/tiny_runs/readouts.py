"""Readouts of tiny models, made without asking a tokenizer, which takes seconds for each."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from actlas.pipeline.models.files.weights import opened_weights
from actlas.pipeline.models.folder import resolve
from actlas.pipeline.readouts.making import (
    head_arrays,
    model_identity,
    neuron_arrays,
    output_arrays,
)
from actlas.pipeline.readouts.tensors import tensors_of
from actlas.store.readouts.readout import HeadReadout, NeuronReadout, Readout
from actlas.store.readouts.words import word_bytes
from actlas.store.readouts.writing import NewArray, add_readout
from tests.families.oracle import activations


def readout_of(store: Path, folder: Path) -> Readout:
    """Store the readout of a model whose token ``i`` is called ``t<i>``; 4 is its mask."""
    model = resolve(str(folder))
    lengths, characters = word_bytes([f"t{i}" for i in range(model.geometry.vocabulary)])
    words = {
        "vocabulary_length": NewArray(
            ("vocabulary",), lengths.shape, "int32", "", lambda: [lengths.tobytes()]
        ),
        "vocabulary_bytes": NewArray(
            ("character",), (len(characters),), "bytes", "", lambda: [characters]
        ),
    }
    with opened_weights(model.weight_files, model.family, model.effective) as opened:
        facts, arrays = output_arrays(model, tensors_of(opened, model.family.weights))
        facts |= {"mask": ["t4", 4], "tokenizer": ""}
        identity = model_identity(model)
        return Readout(add_readout(store, identity, "output", facts, arrays | words)[0])


def heads_of(store: Path, folder: Path) -> HeadReadout:
    """Store the output matrices of attention."""
    model = resolve(str(folder))
    with opened_weights(model.weight_files, model.family, model.effective) as opened:
        arrays = head_arrays(model, tensors_of(opened, model.family.weights))
        return HeadReadout(add_readout(store, model_identity(model), "heads", {}, arrays)[0])


def neurons_of(store: Path, folder: Path) -> NeuronReadout:
    """Store the output matrices of MLPs."""
    model = resolve(str(folder))
    with opened_weights(model.weight_files, model.family, model.effective) as opened:
        facts, arrays = neuron_arrays(model, tensors_of(opened, model.family.weights))
        identity = model_identity(model)
        return NeuronReadout(add_readout(store, identity, "neurons", facts, arrays)[0])


def by_hand(folder: Path, tokens: int = 9):
    """Return every site of a sentence by the oracle, and its token ids."""
    config = json.loads((folder / "config.json").read_text())
    ids = np.random.default_rng(tokens).integers(5, 150, tokens)
    return activations(config, load_file(folder / "model.safetensors"), ids), ids

"""A model's readout, from its files: safetensors and tokenizer; no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from actlas.pipeline.inputs.tokenizer import open_tokenizer
from actlas.pipeline.models.files.output import (
    OutputTensors,
    head_outputs,
    neuron_outputs,
    output_tensors,
)
from actlas.pipeline.models.files.weights import opened_weights
from actlas.pipeline.models.folder import ModelFolder
from actlas.pipeline.readouts.tensors import Tensor, tensors_of
from actlas.store.errors import LaterRecord, UsageError
from actlas.store.format.schema import Json
from actlas.store.readouts.record import Part
from actlas.store.readouts.words import word_bytes
from actlas.store.readouts.writing import NewArray, add_readout, has_readout

VOCABULARY, MODEL = "vocabulary", "d_model"


def model_identity(model: ModelFolder) -> Json:
    """Return what the specification of a run says of its model.

    Raises UsageError for weights that do not fit.
    """
    return {
        "family": model.family.loaded_type,
        "weights": model.weights_digest,
        "config": model.config_digest,
    }


def make_readout(store: Path, model: ModelFolder, part: Part = "output") -> tuple[Path, bool]:
    """Store a part of a model's readout unless it is there; return its path, and whether it is new.

    Raises UsageError for weights that do not fit, or a model without that part; StoreError.
    """
    identity, family = model_identity(model), model.family
    with opened_weights(model.weight_files, family, model.effective) as opened:
        tensors = tensors_of(opened, family.weights)
        if part == "heads":
            return add_readout(store, identity, part, {}, head_arrays(model, tensors))
        if part == "neurons":
            return add_readout(store, identity, part, *neuron_arrays(model, tensors))
        facts, arrays = output_arrays(model, tensors)
        words, of_tokenizer = vocabulary_arrays(model)
        return add_readout(store, identity, part, facts | of_tokenizer, arrays | words)


def ensure_readout(store: Path, model: ModelFolder) -> str | None:
    """Store a model's readout unless it is there; return why not, for a model without one."""
    try:
        if has_readout(store, model_identity(model), "output"):
            return None
        make_readout(store, model)
    except (UsageError, LaterRecord) as error:
        return str(error)
    return None


def output_arrays(
    model: ModelFolder, tensors: Mapping[str, Tensor]
) -> tuple[Json, dict[str, NewArray]]:
    """Return facts and arrays of the end of a model; raises UsageError for one without."""
    output = output_tensors(model.family, model.effective)
    unembed = _unembedding(model, output, tensors)
    gain = _tensor(model, f"{output.norm}.weight", tensors).widened() + np.float32(
        output.gain_offset
    )
    arrays = {"gain": _small((MODEL,), gain, "what the final norm multiplies by")}
    if output.centred:
        shift = _tensor(model, f"{output.norm}.bias", tensors).widened()
        arrays["shift"] = _small((MODEL,), shift, "what the final norm adds")
    arrays["unembed"] = _whole((VOCABULARY, MODEL), unembed, "row that gives the logit of a token")
    if output.unembed_bias:
        bias = _tensor(model, output.unembed_bias, tensors)
        arrays["unembed_bias"] = _whole((VOCABULARY,), bias, "added to the logit of a token")
    if output.dense:
        dims = ("d_model_out", MODEL)
        dense = _tensor(model, f"{output.dense}.weight", tensors)
        arrays["transform"] = _whole(dims, dense, "linear map before the norm")
        bias = _tensor(model, f"{output.dense}.bias", tensors)
        arrays["transform_bias"] = _whole(("d_model_out",), bias, "what that map adds")
    facts = {
        "norm": {"kind": "layer" if output.centred else "rms", "epsilon": output.epsilon},
        "cap": output.cap,
        "scale": 1.0,
        "head": "masked" if output.dense else "plain",
        "activation": output.activation,
    }
    return facts, arrays


def _unembedding(
    model: ModelFolder, output: OutputTensors, tensors: Mapping[str, Tensor]
) -> Tensor:
    """Return the unembedding.

    Raises UsageError for the head of masked tokens whose own matrix is not the embedding, though
    nothing says that they are not tied.
    """
    first, *others = output.unembed
    if output.dense and (own := tensors.get(others[0])) is not None:
        tied = model.config.get("tie_word_embeddings", True)
        if not tied:
            return own
        if own.digest != tensors[first].digest:
            raise UsageError(
                f"{model.folder}: {others[0]} is not the embedding {first}, but config.json ties "
                "them: set tie_word_embeddings to false there, or save the model again"
            )
    names = [first] if output.dense else output.unembed
    return next((tensors[name] for name in names if name in tensors), None) or _tensor(
        model, first, tensors
    )


def _tensor(model: ModelFolder, name: str, tensors: Mapping[str, Tensor]) -> Tensor:
    if name not in tensors:
        raise UsageError(
            f"model {model.name} has no head that gives logits ({name} is missing): no readout"
        )
    return tensors[name]


def vocabulary_arrays(model: ModelFolder) -> tuple[dict[str, NewArray], Json]:
    """Return the words of the model's tokenizer, and what is to be known of it."""
    size = model.geometry.vocabulary
    with open_tokenizer(model.folder, model.name) as tokenizer:
        words = tokenizer.vocabulary(size)
        facts = {"tokenizer": tokenizer.digest, "mask": tokenizer.mask and [*tokenizer.mask]}
    lengths, characters = word_bytes(words)
    count = len(characters)
    arrays = {
        "vocabulary_length": NewArray(
            (VOCABULARY,), (size,), "int32", "bytes of a token", lambda: [lengths.tobytes()]
        ),
        "vocabulary_bytes": NewArray(
            ("character",), (count,), "bytes", "all tokens, in UTF-8", lambda: [characters]
        ),
    }
    return arrays, facts


def head_arrays(model: ModelFolder, tensors: Mapping[str, Tensor]) -> dict[str, NewArray]:
    """Return the output matrices of attention, each as (head, d_head, d_model)."""
    names, sizes = head_outputs(model.architecture), model.geometry
    shape = (len(names), sizes.n_head, sizes.d_head, sizes.d_model)
    dims = ("layer", "head", "d_head", MODEL)
    arrays = {"w_o": _matrices(model, names, tensors, dims, shape, "what a head writes")}
    what = "what attention adds whatever it sees"
    return arrays | _biases(names, tensors, "b_o", what)


def neuron_arrays(
    model: ModelFolder, tensors: Mapping[str, Tensor]
) -> tuple[Json, dict[str, NewArray]]:
    """Return facts and output matrices of MLPs, each as (d_mlp, d_model)."""
    (names, norms), sizes = neuron_outputs(model.architecture), model.geometry
    shape = (len(names), sizes.d_mlp, sizes.d_model)
    dims = ("layer", "d_mlp", MODEL)
    arrays = {"w_out": _matrices(model, names, tensors, dims, shape, "what a neuron writes")}
    arrays |= _biases(names, tensors, "b_out", "what the MLP adds whatever it sees")
    if not norms:
        return {}, arrays
    output = output_tensors(model.family, model.effective)
    gains = [_tensor(model, f"{name}.weight", tensors).widened() for name in norms]
    gain = np.stack(gains) + np.float32(output.gain_offset)
    what = "what the norm behind the MLP multiplies by"
    arrays["norm_gain"] = _small(("layer", MODEL), gain, what)
    return {"epsilon": output.epsilon}, arrays


def _matrices(
    model: ModelFolder,
    names: Sequence[str],
    tensors: Mapping[str, Tensor],
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    meaning: str,
) -> NewArray:
    """Return the matrices of linear maps, inputs first, in one array."""
    found = [_tensor(model, f"{name}.weight", tensors) for name in names]
    alike = {tensor.dtype for tensor in found}
    dtype = found[0].dtype if len(alike) == 1 else "float32"

    def pieces() -> Iterator[bytes]:
        for tensor in found:
            matrix = tensor.stored() if len(alike) == 1 else tensor.widened()
            yield (matrix if model.family.readout.inputs_first else matrix.T).tobytes()

    return NewArray(dims, shape, dtype, meaning, pieces)


def _biases(
    names: Sequence[str], tensors: Mapping[str, Tensor], array: str, meaning: str
) -> dict[str, NewArray]:
    """Return the biases of linear maps as ``array``; empty for maps without."""
    if f"{names[0]}.bias" not in tensors:
        return {}
    biases = [tensors[f"{name}.bias"].widened() for name in names]
    return {array: _small(("layer", MODEL), np.stack(biases), meaning)}


def _small(dims: tuple[str, ...], values: npt.NDArray[np.float32], meaning: str) -> NewArray:
    whole = np.ascontiguousarray(values, np.float32)
    return NewArray(dims, whole.shape, "float32", meaning, lambda: [whole.tobytes()])


def _whole(dims: tuple[str, ...], tensor: Tensor, meaning: str) -> NewArray:
    return NewArray(dims, tensor.entry.shape, tensor.dtype, meaning, tensor.pieces)

"""A model's readout, from its files: safetensors and tokenizer; no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from actlas.pipeline.inputs.tokenizer import open_tokenizer
from actlas.pipeline.models.files.output import OutputTensors, head_outputs, output_tensors
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
    found = [_tensor(model, f"{name}.weight", tensors) for name in names]
    alike = {tensor.dtype for tensor in found}
    dtype = found[0].dtype if len(alike) == 1 else "float32"
    dims = ("layer", "head", "d_head", MODEL)
    shape = (len(found), sizes.n_head, sizes.d_head, sizes.d_model)

    def matrices() -> Iterator[bytes]:
        for tensor in found:
            matrix = tensor.stored() if len(alike) == 1 else tensor.widened()
            yield (matrix if model.family.readout.inputs_first else matrix.T).tobytes()

    arrays = {"w_o": NewArray(dims, shape, dtype, "what a head writes", matrices)}
    if f"{names[0]}.bias" in tensors:
        biases = [tensors[f"{name}.bias"].widened() for name in names]
        what = "what attention adds whatever it sees"
        arrays["b_o"] = _small(("layer", MODEL), np.stack(biases), what)
    return arrays


def _small(dims: tuple[str, ...], values: npt.NDArray[np.float32], meaning: str) -> NewArray:
    whole = np.ascontiguousarray(values, np.float32)
    return NewArray(dims, whole.shape, "float32", meaning, lambda: [whole.tobytes()])


def _whole(dims: tuple[str, ...], tensor: Tensor, meaning: str) -> NewArray:
    return NewArray(dims, tensor.entry.shape, tensor.dtype, meaning, tensor.pieces)

"""A model in memory in place of a folder: what it is, found from its state alone.

Nothing is trusted: an object that would compute something else than a folder of its weights and its
configuration is refused. It is never changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actlas.pipeline.models.configuration import effective, shown
from actlas.pipeline.models.family import Family
from actlas.pipeline.models.files.weights import is_tied
from actlas.pipeline.models.folder import ModelFolder
from actlas.pipeline.models.loading import not_finite
from actlas.pipeline.models.model_state import (
    MAKING,
    differs_from_new,
    fields_of,
    hooked,
    own_digest,
)
from actlas.pipeline.models.registry import FAMILIES, family_of
from actlas.store.errors import UsageError
from actlas.store.format.schema import NUMPY_VIEW

if TYPE_CHECKING:
    from actlas.pipeline.models.family import Model

GIVEN = "the model given"
ATTENTION = ("sdpa", "eager")
LOAD = "load it with from_pretrained and leave it as it is"
#: settings of a configuration that change what a forward pass does beside its numbers
OUTPUTS = {"output_hidden_states": False, "output_attentions": False, "return_dict": True}


@dataclass(frozen=True)
class ModelObject(ModelFolder):
    """A model in memory; ``folder`` has its tokenizer and its configuration."""

    digest: str  # of its weights
    nbytes: int
    dtype: str
    attention: str
    device: str

    @cached_property
    def effective(self) -> dict[str, Any]:
        """The fields that decide what is computed; raises UsageError for impossible ones."""
        return effective(self.config, self.family.config, GIVEN)

    @cached_property
    def weights_digest(self) -> str:
        """Digest of all weights, that of the files it would be saved in."""
        return self.digest

    @property
    def weights_bytes(self) -> int:
        """Bytes of the weights."""
        return self.nbytes


def model_object(model: Any, tokenizer: Any, folder: Path) -> ModelObject:
    """Return what ``model``, of transformers, is; ``folder`` is empty and gets its tokenizer.

    tokenizer: of transformers, or a ``tokenizers.Tokenizer``. Raises UsageError for a model that
    computes something else than its state and its configuration say, or nothing at all: see the
    checks below, each of which says what to do.
    """
    _check_kind(model)
    family = _family(model)
    _check_state(model)
    fields = fields_of(model, family)
    dtype, device = _dtype(model), _device(model)
    _check_outputs(model)
    if differs := differs_from_new(model, family):
        raise UsageError(
            f"{GIVEN} is not built as a {family.weights.title} of its configuration ({differs}): "
            f"{LOAD}"
        )
    _check_finite(model)
    attention = model.config._attn_implementation
    with MAKING:
        family.check_attention(fields, attention, model.dtype)
    _save_tokenizer(model, tokenizer, folder)
    return ModelObject(
        name=model.config.name_or_path or model.config.model_type,
        folder=folder,
        revision=None,
        config=model.config.to_dict(),
        digest=own_digest(model, family, tied=is_tied(fields)),
        nbytes=sum(parameter.nbytes for parameter in model.parameters()),
        dtype=dtype,
        attention=attention,
        device=device,
    )


@contextmanager
def left_as_found(model: Model) -> Iterator[None]:
    """Give every module of ``model`` its training flag back at the end; nothing else changes."""
    before = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


def _check_kind(model: Any) -> None:
    from transformers import PreTrainedModel

    kind = type(model).__name__
    if hasattr(model, "_orig_mod"):
        raise UsageError(f"{GIVEN} is compiled ({kind}): give `model._orig_mod`")
    if hasattr(model, "merge_and_unload") or getattr(model, "_hf_peft_config_loaded", False):
        raise UsageError(f"{GIVEN} has an adapter: merge it, `model.merge_and_unload()`")
    if not isinstance(model, PreTrainedModel):
        raise UsageError(
            f"model is a {kind}, expected a name, a folder, or a PreTrainedModel of transformers"
        )


def _family(model: Any) -> Family:
    kind = model.config.model_type
    family = family_of(kind)
    if family is None:
        raise UsageError(f"{GIVEN} is of type {shown(kind)}, expected one of {', '.join(FAMILIES)}")
    expected = family.class_of_model()
    if type(model) is not expected:
        arguments = ", ".join(f"{name}={value}" for name, value in family.arguments.items())
        raise UsageError(
            f"{GIVEN} is a {type(model).__name__}, expected a {expected.__name__}"
            f"{f' made with {arguments}' if arguments else ''}, or its folder"
        )
    return family


def _check_state(model: Model) -> None:
    if any(module.training for module in model.modules()):
        raise UsageError(f"{GIVEN} is in train mode, which draws dropout: call model.eval()")
    if (at := hooked(model)) is not None:
        raise UsageError(
            f"{GIVEN} has hooks or another forward on {at or 'itself'}: remove them, or {LOAD}"
        )
    attention = model.config._attn_implementation
    if attention not in ATTENTION:
        raise UsageError(
            f"{GIVEN} has attention {shown(attention)}, expected one of {', '.join(ATTENTION)}: "
            "load it with attn_implementation='sdpa'"
        )


def _dtype(model: Model) -> str:
    found = {str(each.dtype).removeprefix("torch.") for each in model.parameters()}
    if len(found) > 1 or not found <= {*NUMPY_VIEW}:
        raise UsageError(
            f"{GIVEN} has weights in {' and '.join(sorted(found))}, expected one of "
            f"{', '.join(NUMPY_VIEW)}: load it with dtype=torch.float32"
        )
    return found.pop()


def _device(model: Model) -> str:
    found = sorted({str(tensor.device) for tensor in (*model.parameters(), *model.buffers())})
    if any(each == "meta" for each in found):
        raise UsageError(f"{GIVEN} is on the device meta, without numbers: {LOAD}")
    if len(found) > 1 or not found[0].startswith(("cpu", "cuda")):
        raise UsageError(
            f"{GIVEN} is on {' and '.join(found)}, expected the CPU or one CUDA device: move it, "
            "model.to('cpu')"
        )
    return found[0]


def _check_outputs(model: Model) -> None:
    for name, expected in OUTPUTS.items():
        if bool(getattr(model.config, name, expected)) is not expected:
            raise UsageError(
                f"{GIVEN} has config.{name} = {not expected}, expected {expected}: set it so"
            )


def _check_finite(model: Model) -> None:
    for name, tensor in model.named_parameters():
        if bad := not_finite(tensor.detach()):
            raise UsageError(f"{GIVEN}: tensor {name} holds {bad} values that are NaN or infinite")


def _save_tokenizer(model: Model, tokenizer: Any, folder: Path) -> None:
    if tokenizer is None:
        raise UsageError(f"{GIVEN} has no tokenizer: give tokenizer=, the one of its vocabulary")
    if hasattr(tokenizer, "save_pretrained"):
        tokenizer.save_pretrained(folder)
    elif hasattr(tokenizer, "to_str"):
        (folder / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    else:
        raise UsageError(
            f"tokenizer is a {type(tokenizer).__name__}, expected a tokenizer of transformers"
        )
    # what chooses the class of a tokenizer; more would make each model's a tokenizer of its own
    chooses = {"model_type": model.config.model_type}
    if kind := getattr(model.config, "tokenizer_class", None):
        chooses["tokenizer_class"] = kind
    (folder / "config.json").write_text(json.dumps(chooses), encoding="utf-8")

"""Loading: the bytes that are hashed are the bytes that become the model.

What it then holds is remembered.

A file can change between one look and the next, so each tensor is read once: hashed, checked and
given to transformers from memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from actlas.pipeline.models.configuration import config_digest
from actlas.pipeline.models.family import Family, Fields
from actlas.pipeline.models.files.digest_cache import remember
from actlas.pipeline.models.files.tensor_files import Entry, TensorFile, cut_short
from actlas.pipeline.models.files.weights import (
    digest_of,
    is_tied,
    model_name,
    opened_weights,
    own_name,
)
from actlas.pipeline.models.model_state import MAKING, Origin, remember_origin
from actlas.store.errors import UsageError

if TYPE_CHECKING:
    import torch

    from actlas.pipeline.models.family import Model

TORCH_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class Tensors:
    """The weights of a model in memory, by their names without a prefix.

    ``digest`` is that of what was read.
    """

    state: dict[str, torch.Tensor]
    digest: str


def loaded(
    files: Sequence[Path],
    family: Family,
    fields: Fields,
    *,
    dtype: torch.dtype,
    device: torch.device,
    attention: str,
) -> Model:
    """Return the model of weight ``files`` and effective ``fields`` in ``dtype`` on ``device``.

    It is in eval mode.

    Raises UsageError for files that do not fit, for a number that is none or does not fit
    ``dtype``, and where transformers would compute something else.
    """
    # torch then takes its memory in pages of 2 MB, and gives it back as it frees it
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    with MAKING:
        family.check_attention(fields, attention, dtype)
    tensors = read_tensors(files, family, fields, dtype)
    with MAKING:
        model = _made(tensors.state, family, fields, dtype, attention)
    model.to(device)  # type: ignore[arg-type]  # transformers annotates its wrapper of nn.Module.to wrongly
    model.eval()
    remember_origin(model, Origin(tensors.digest, config_digest(fields)))
    return model


def read_tensors(
    files: Sequence[Path], family: Family, fields: Fields, dtype: torch.dtype
) -> Tensors:
    """Read and hash every tensor of ``files`` once; return those of the model in ``dtype``."""
    state: dict[str, torch.Tensor] = {}
    digests: dict[str, str] = {}
    rules = family.weights
    with opened_weights(files, family, fields) as opened:
        for file in opened:
            begun, of_file = time.time(), {}
            for name, entry in file.entries.items():
                value, of_file[name] = _read(file, name, entry)
                own = own_name(name, rules)
                if own is None:
                    continue
                digests[own] = of_file[name]
                if entry.dtype in TORCH_DTYPES:
                    state[own] = _checked(value, entry, dtype, f"{file.path}: tensor {own}")
            remember(file, of_file, begun)
    tied = is_tied(fields)
    digest = digest_of(digests, rules, tied=tied, where=files[0].parent)
    if tied and rules.head in state:
        state.setdefault(rules.embedding, state.pop(rules.head))
        state.pop(rules.head, None)
    return Tensors(state, digest)


def _read(file: TensorFile, name: str, entry: Entry) -> tuple[torch.Tensor, str]:
    """Return the bytes of a tensor, uint8 (byte,), and their digest."""
    import torch

    value = torch.empty(entry.nbytes, dtype=torch.uint8)
    view = value.numpy().data
    done = 0
    while done < entry.nbytes:
        got = os.preadv(file.file.fileno(), [view[done:]], entry.start + done)
        if not got:
            raise cut_short(file.path, name)
        done += got
    digest = entry.hasher()
    digest.update(view)
    return value, str(digest.hexdigest())


def _checked(value: torch.Tensor, entry: Entry, dtype: torch.dtype, what: str) -> torch.Tensor:
    """Return bytes as a tensor in ``dtype``.

    Raises UsageError for NaN, Inf and what does not fit, with their count.
    """
    import torch

    own_dtype = getattr(torch, TORCH_DTYPES[entry.dtype])
    tensor = (
        value.view(own_dtype).reshape(entry.shape)
        if entry.nbytes
        else torch.empty(entry.shape, dtype=own_dtype)
    )
    if bad := not_finite(tensor):
        raise UsageError(
            f"{what} holds {bad} values that are NaN or infinite: copy or save the model again"
        )
    narrow = tensor.to(dtype)
    if narrow is not tensor and (bad := not_finite(narrow)):
        name = str(dtype).removeprefix("torch.")
        raise UsageError(
            f"{what} holds {bad} values that do not fit {name}: use --dtype float32 or bfloat16"
        )
    return narrow


def not_finite(tensor: torch.Tensor) -> int:
    """Return how many values are NaN or infinite.

    The sum shows whether any is, thirty times as fast as a look at each.
    """
    import torch

    if bool(torch.isfinite(tensor.sum())):
        return 0
    return int((~torch.isfinite(tensor)).sum())  # the sum of large values may overflow by itself


def _made(
    state: Mapping[str, torch.Tensor],
    family: Family,
    fields: Fields,
    dtype: torch.dtype,
    attention: str,
) -> Model:
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what it warns of was checked before
    _check_activations(fields, family.config.defaults)
    named = {model_name(name, family.weights): value for name, value in state.items()}
    model, found = cast(
        "tuple[Model, dict[str, Any]]",
        family.class_of_model().from_pretrained(
            None,
            config=family.configuration(fields, attention),
            state_dict=named,
            dtype=dtype,
            attn_implementation=attention,
            output_loading_info=True,
            **family.arguments,
        ),
    )
    if wrong := [*found["missing_keys"], *found["mismatched_keys"]]:
        raise RuntimeError(f"transformers left out {wrong[0]} of weights that were checked")
    return model


def _check_activations(fields: Fields, defaults: Mapping[str, object]) -> None:
    from transformers.activations import ACT2FN

    for name, default in defaults.items():  # a text is the name of an activation function
        if isinstance(default, str) and fields[name] not in ACT2FN:
            raise UsageError(f"config.json: this transformers has no {name} {fields[name]!r}")

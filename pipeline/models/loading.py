"""Loading: the bytes that are hashed are the bytes that become the model, and what it then holds is remembered.

A file can change between one look and the next, so each tensor is read once: hashed, checked and given to transformers from
memory.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from actlas.pipeline.models.attention import check_attention
from actlas.pipeline.models.configuration import config_digest, transformers_config
from actlas.pipeline.models.digest_cache import remember
from actlas.pipeline.models.model_state import Origin, remember_origin
from actlas.pipeline.models.tensor_files import Entry, TensorFile, cut_short
from actlas.pipeline.models.weights import (
    EMBEDDING,
    HEAD,
    PREFIX,
    digest_of,
    opened_weights,
    own_name,
)
from actlas.store.errors import UsageError

if TYPE_CHECKING:
    import torch
    from transformers import GPT2LMHeadModel

TORCH_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
#: transformers sets torch's default dtype and takes initialisation out of torch while it makes a model: for all threads
_MAKING = threading.Lock()


@dataclass(frozen=True)
class Tensors:
    """The weights of a model in memory, by their names without a prefix, and the digest of what was read."""

    state: dict[str, torch.Tensor]
    digest: str


def loaded(
    files: Sequence[Path],
    fields: Mapping[str, Any],
    *,
    dtype: torch.dtype,
    device: torch.device,
    attention: str,
) -> GPT2LMHeadModel:
    """Return the model of weight ``files`` and effective ``fields`` in ``dtype`` on ``device``, in eval mode.

    Raises UsageError for files that do not fit, for a number that is none or does not fit ``dtype``, and
    where transformers would compute something else.
    """
    # torch then takes its memory in pages of 2 MB, and gives it back as it frees it
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    with _MAKING:
        check_attention(fields, attention, dtype)
    tensors = read_tensors(files, fields, dtype)
    with _MAKING:
        model = _made(tensors.state, fields, dtype, attention)
    model.to(device)  # type: ignore[arg-type]  # transformers annotates its wrapper of nn.Module.to wrongly
    model.eval()
    remember_origin(model, Origin(tensors.digest, config_digest(fields)))
    return model


def read_tensors(files: Sequence[Path], fields: Mapping[str, Any], dtype: torch.dtype) -> Tensors:
    """Read and hash every tensor of ``files`` once; return those of the model in ``dtype``."""
    state: dict[str, torch.Tensor] = {}
    digests: dict[str, str] = {}
    with opened_weights(files, fields) as opened:
        for file in opened:
            begun, of_file = time.time(), {}
            for name, entry in file.entries.items():
                value, of_file[name] = _read(file, name, entry)
                own = own_name(name)
                if own is None:
                    continue
                digests[own] = of_file[name]
                if entry.dtype in TORCH_DTYPES:
                    state[own] = _checked(value, entry, dtype, f"{file.path}: tensor {own}")
            remember(file, of_file, begun)
    tied = fields["tie_word_embeddings"]
    digest = digest_of(digests, tied=tied, where=files[0].parent)
    if tied and HEAD in state:
        state.setdefault(EMBEDDING, state.pop(HEAD))
        state.pop(HEAD, None)
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
    """Return bytes as a tensor in ``dtype``; raises UsageError for NaN, Inf and what does not fit, with their count."""
    import torch

    own_dtype = getattr(torch, TORCH_DTYPES[entry.dtype])
    tensor = (
        value.view(own_dtype).reshape(entry.shape)
        if entry.nbytes
        else torch.empty(entry.shape, dtype=own_dtype)
    )
    if bad := _not_finite(tensor):
        raise UsageError(
            f"{what} holds {bad} values that are NaN or infinite: copy or save the model again"
        )
    narrow = tensor.to(dtype)
    if narrow is not tensor and (bad := _not_finite(narrow)):
        name = str(dtype).removeprefix("torch.")
        raise UsageError(
            f"{what} holds {bad} values that do not fit {name}: use --dtype float32 or bfloat16"
        )
    return narrow


def _not_finite(tensor: torch.Tensor) -> int:
    """Return how many values are NaN or infinite. The sum shows whether any is, thirty times as fast as a look at each."""
    import torch

    if bool(torch.isfinite(tensor.sum())):
        return 0
    return int((~torch.isfinite(tensor)).sum())  # the sum of large values may overflow by itself


def _made(
    state: Mapping[str, torch.Tensor], fields: Mapping[str, Any], dtype: torch.dtype, attention: str
) -> GPT2LMHeadModel:
    from transformers import GPT2LMHeadModel
    from transformers.activations import ACT2FN
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what it warns of was checked before
    if fields["activation_function"] not in ACT2FN:
        raise UsageError(
            f"config.json: this transformers has no activation_function {fields['activation_function']!r}"
        )
    model, found = cast(
        "tuple[GPT2LMHeadModel, dict[str, Any]]",
        GPT2LMHeadModel.from_pretrained(
            None,
            config=transformers_config(fields, attention),
            state_dict={
                name if name == HEAD else PREFIX + name: value for name, value in state.items()
            },
            dtype=dtype,
            attn_implementation=attention,
            output_loading_info=True,
        ),
    )
    if wrong := [*found["missing_keys"], *found["mismatched_keys"]]:
        raise RuntimeError(f"transformers left out {wrong[0]} of weights that were checked")
    return model

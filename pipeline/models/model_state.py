"""Whether a model object is the one that a plan is of.

Its numbers, its form and its settings, hashed as they are now.

A model that ``load`` made is compared with what it held then, whatever its dtype: its origin tells
which files that came from. Any other model is compared by its own tensors, as if it had been saved.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import xxhash

from actlas.pipeline.models.configuration import config_digest, effective
from actlas.pipeline.models.files.tensor_files import Entry
from actlas.pipeline.models.files.weights import digest_of, own_name
from actlas.store.errors import UsageError, quoted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from actlas.pipeline.models.family import Family, Model

FILE_DTYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
ADVICE = "load it with `load_for(plan)` and leave it as it is"
#: transformers sets torch's default dtype and takes initialisation out of torch while it makes a
#: model: for all threads
MAKING = threading.Lock()
CHUNK = 1 << 24  # values of a tensor on a device that are summed at a time


@dataclass(frozen=True)
class Origin:
    """Where a loaded model comes from.

    Digests of the weights that were read, and of the effective config fields.
    """

    weights: str
    config: str


@dataclass(frozen=True)
class ExpectedModel:
    """What the identity of a run says of the model that computes it."""

    origin: Origin
    family: Family
    dtype: str
    attention: str
    tied: bool  # the head is the embedding


@dataclass(frozen=True)
class _Loaded:
    origin: Origin
    state: str  # digest of what the model held when it was loaded


_LOADED: WeakKeyDictionary[nn.Module, _Loaded] = WeakKeyDictionary()


def remember_origin(model: Model, origin: Origin) -> None:
    """Note that ``model``, as it is now, was loaded from ``origin``."""
    _LOADED[model] = _Loaded(origin, _state(model))


def loaded_weights(model: Model) -> str | None:
    """Return the digest of the weights that ``model`` was loaded from.

    None for one that ``load`` did not make.
    """
    return _LOADED[model].origin.weights if model in _LOADED else None


def check_model(model: Model, expected: ExpectedModel) -> None:
    """Raise UsageError unless ``model`` is what the identity of a run says.

    Every number in it is hashed for that, at the speed of memory.
    """
    if (at := hooked(model)) is not None:
        raise UsageError(
            f"the model given has hooks or another forward on {at or 'itself'}: {ADVICE}"
        )
    kept = _LOADED.get(model)
    family = expected.family
    _check_family(model, family)
    config = config_digest(fields_of(model, family))
    for what, got, wanted in (
        ("dtype", str(model.dtype).removeprefix("torch."), expected.dtype),
        ("attention", model.config._attn_implementation, expected.attention),
        ("configuration", config, expected.origin.config),
    ):
        if got != wanted:
            raise UsageError(
                f"the model given has {what} {quoted(got)}, expected {quoted(wanted)}: {ADVICE}"
            )
    if kept is None:
        _check_own(model, expected)
    elif _state(model) != kept.state:
        raise UsageError(f"the model given was changed after it was loaded: {ADVICE}")
    elif kept.origin != expected.origin:
        raise UsageError(
            f"the model given was loaded from other weights than those of the plan: {ADVICE}"
        )


def _check_own(model: Model, expected: ExpectedModel) -> None:
    """Compare a model that somebody else made by its own tensors and form."""
    family = expected.family
    if differs := differs_from_new(model, family):
        title = family.weights.title
        raise UsageError(
            f"the model given is not built as a {title} of its configuration ({differs}): {ADVICE}"
        )
    if own_digest(model, family, tied=expected.tied) != expected.origin.weights:
        raise UsageError(
            f"the model given does not hold the weights of the plan, or in another dtype: {ADVICE}"
        )


def own_digest(model: Model, family: Family, *, tied: bool) -> str:
    """Return the digest of the weights of ``model``, as that of the files it would be saved in."""
    digests = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if (own := own_name(name, family.weights)) is not None:
            digests[own] = _file_digest(tensor)
    return digest_of(digests, family.weights, tied=tied, where="the model given")


def differs_from_new(model: Model, family: Family) -> str:
    """Return what of ``model`` is not as in a new one of its configuration, '' where nothing is.

    Classes and settings of modules, shapes, and the tensors that files do not have: masks, and
    angles of rotary positions, which a change of dtype rounds.
    """
    import torch

    new = _new(model, family)
    ours, theirs = ({name: more for name, *more in _form(each)} for each in (model, new))
    for name in theirs | ours:
        if ours.get(name) != theirs.get(name):
            return f"module {name or 'itself'}"
    saved, buffers = model.state_dict(keep_vars=True), dict(new.named_buffers())
    shapes = {name: tensor.shape for name, tensor in new.state_dict().items()}
    if {name: tensor.shape for name, tensor in saved.items()} != shapes:
        return "other tensors, or of other shapes"
    for name, tensor in model.named_buffers():
        if name in saved:
            continue
        other = buffers[name]  # the same modules have the same
        if tensor.dtype != other.dtype or not torch.equal(tensor.cpu(), other):
            return f"values or dtype of {name}"
    return ""


def _check_family(model: Model, expected: Family) -> None:
    if model.config.model_type != expected.loaded_type:
        got = quoted(str(model.config.model_type))
        raise UsageError(
            f"the model given has model_type {got}, expected {expected.loaded_type!r}: {ADVICE}"
        )


def fields_of(model: Model, family: Family) -> dict[str, Any]:
    """Return the effective fields of a model's configuration; raises UsageError."""
    return effective(model.config.to_dict(), family.config, "the model given")


def _new(model: Model, family: Family) -> Model:
    """Return a new model of the same configuration and dtype, its weights without numbers."""
    import torch
    from torch.overrides import TorchFunctionMode

    class WeightsOnMeta(TorchFunctionMode):
        """Weights are made by ``torch.empty``, masks and angles by other functions."""

        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            more = {"device": "meta"} if func is torch.empty else {}
            return func(*args, **{**(kwargs or {}), **more})

    config = family.configuration(fields_of(model, family), model.config._attn_implementation)
    if "pad_token_id" not in family.config.defaults:  # a setting of modules that computes nothing
        config.pad_token_id = model.config.pad_token_id
    before = torch.get_default_dtype()
    with MAKING, torch.random.fork_rng([]), WeightsOnMeta():
        torch.set_default_dtype(model.dtype)
        try:
            made: Model = family.class_of_model()(config, **family.arguments)
        finally:
            torch.set_default_dtype(before)
    return made


def hooked(model: nn.Module) -> str | None:
    """Return the name of a module whose result something else may change.

    None where there is none.
    """
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
            return str(name)
    return None


def _state(model: nn.Module) -> str:
    """Return the digest of all numbers and of the form of ``model``."""
    numbers = [
        (name, str(tensor.dtype), list(tensor.shape), _digest(tensor))
        for name, tensor in _tensors(model)
    ]
    return hashlib.sha256(json.dumps([numbers, _form(model)]).encode()).hexdigest()


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _form(model: nn.Module) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return name, class and settings of every module.

    Epsilon, rates of dropout, scales, numbers of heads.
    """
    return [
        (name, f"{type(module).__module__}.{type(module).__qualname__}", _settings(vars(module)))
        for name, module in model.named_modules()
    ]


def _settings(values: Mapping[str, object]) -> list[tuple[str, str]]:
    plain = (bool, int, float, str, type(None))
    return sorted(
        (name, repr(value))
        for name, value in values.items()
        if type(value) in plain
        and not name.startswith("_")
        and name not in ("training", "name_or_path")
    )


def _file_digest(tensor: torch.Tensor) -> str:
    """Return the digest that a tensor would have in a safetensors file."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    digest = Entry(FILE_DTYPES.get(dtype, dtype), tuple(tensor.shape), 0, 0).hasher()
    digest.update(_bytes(tensor))
    return str(digest.hexdigest())


def _digest(tensor: torch.Tensor) -> str:
    """Return a digest of the bytes.

    For a tensor on a device it is made there, and of another kind.
    """
    if tensor.device.type == "cpu":
        return str(xxhash.xxh3_128(_bytes(tensor)).hexdigest())
    return f"{_weighted_sum(tensor):016x}"


def _bytes(tensor: torch.Tensor) -> memoryview:
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")


def _weighted_sum(tensor: torch.Tensor) -> int:
    """Return the sum of a tensor's bit patterns, each times an odd number of its own, modulo 2⁶⁴.

    An odd factor can be undone modulo 2⁶⁴, so one changed value always shows; many do but for one
    case in about 2⁶³.
    """
    import torch

    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    patterns = tensor.detach().contiguous().reshape(-1).view(kinds[tensor.element_size()])
    total = torch.zeros((), dtype=torch.int64, device=tensor.device)
    for number, part in enumerate(patterns.split(CHUNK)):
        places = torch.arange(len(part), device=tensor.device) + number * CHUNK
        total += (part.long() * (_mixed(places) | 1)).sum()
    return int(total) % (1 << 64)


def _mixed(numbers: torch.Tensor) -> torch.Tensor:
    """Return int64 numbers that look random, the same for the same: SplitMix64."""
    mixed = (numbers + 1) * -7046029254386353131
    mixed = (mixed ^ (mixed >> 30)) * -4658895280553007687
    return mixed ^ (mixed >> 27)

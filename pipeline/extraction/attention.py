"""What a module hands to the implementation of attention, and the weights that this makes.

Queries and keys as the scores have them, after norms and rotary positions, are no module's output,
and most implementations never have the weights. Transformers calls an implementation by its name:
here are two that do what sdpa and eager do, and hand over what they are given on the way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import torch
    from torch import nn

    from actlas.pipeline.models.family import Model

    #: takes (batch, position, head, column), of weights (batch, query, head, key)
    Receiver = Callable[[torch.Tensor], None]

NAME = "actlas_{}"
#: module → part of ``Row`` → who receives it; threads have models of their own
_TAPS: WeakKeyDictionary[nn.Module, dict[str, Receiver]] = WeakKeyDictionary()


@contextmanager
def tapped(model: Model, taps: Sequence[tuple[nn.Module, str, Receiver]]) -> Iterator[None]:
    """Hand what attention gets, or its weights, to the receivers of ``taps`` inside.

    taps: module, part (``query``, ``key``, ``pattern``) and receiver. The numbers of the model stay
    those of its implementation.
    """
    if not taps:
        yield
        return
    _register()
    for module, part, receiver in taps:
        _TAPS.setdefault(module, {})[part] = receiver
    methods = [module for module in {module for module, _, _ in taps} if hasattr(module, "_attn")]
    before = model.config._attn_implementation
    try:
        for module in methods:
            method = cast("Callable[..., Any]", module._attn)
            vars(module)["_attn"] = partial(_through_method, module, method)
        if not methods:
            model.config._attn_implementation = NAME.format(before)
        yield
    finally:
        model.config._attn_implementation = before
        for module in methods:
            vars(module).pop("_attn", None)
        for module, _, _ in taps:
            _TAPS.pop(module, None)


def _through_method(
    module: nn.Module,
    method: Callable[..., Any],
    query: torch.Tensor,
    key: torch.Tensor,
    *more: Any,
    **named: Any,
) -> Any:
    """Attend as GPT-J does where transformers does not call its attention by name."""
    _hand_over(module, query, key)
    return method(query, key, *more, **named)


def _hand_over(module: nn.Module, query: torch.Tensor, key: torch.Tensor) -> None:
    """Give queries and keys, (batch, head, position, column), to those who want them."""
    taps = _TAPS.get(module, {})
    for part, tensor in (("query", query), ("key", key)):
        if part in taps:
            taps[part](tensor.transpose(1, 2))


def _register() -> None:
    """Make both implementations known, each with the masks of what it stands for."""
    from transformers import AttentionInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

    if NAME.format("sdpa") in ALL_MASK_ATTENTION_FUNCTIONS:
        return
    for kind in ("sdpa", "eager"):
        AttentionInterface.register(NAME.format(kind), _implementation(kind))
        AttentionMaskInterface.register(NAME.format(kind), ALL_MASK_ATTENTION_FUNCTIONS[kind])


def _implementation(kind: str) -> Callable[..., Any]:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    def attend(
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **more: Any,
    ) -> Any:
        """Attend; all tensors are (batch, head, position, column)."""
        if kind == "sdpa":
            inner = ALL_ATTENTION_FUNCTIONS["sdpa"]
        else:
            inner = sys.modules[type(module).__module__].eager_attention_forward
        result = inner(module, query, key, value, attention_mask, **more)
        _hand_over(module, query, key)
        taps = _TAPS.get(module, {})
        if "pattern" in taps:
            weights = result[1]
            if kind == "sdpa":
                weights = attention_weights(module, query, key, attention_mask, more)
            taps["pattern"](weights.transpose(1, 2))
        return result

    return attend


def attention_weights(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    given: dict[str, Any],
) -> torch.Tensor:
    """Return the weights (batch, head, query, key) that sdpa takes means with and does not give.

    mask: which keys each query sees, or what is added to its scores; None for all before it in a
    causal module, all others in another. given: what else the implementation got.
    """
    import torch

    keys = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    scale = given.get("scaling")
    scores = query @ keys.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if (cap := given.get("softcap")) is not None:
        scores = (scores / cap).tanh() * cap
    causal = given.get("is_causal")
    if mask is None and (module.is_causal if causal is None else causal):
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        mask = mask[..., : scores.shape[-1]]
        seen = mask.dtype == torch.bool
        scores = scores.masked_fill(~mask, -torch.inf) if seen else scores + mask
    weights: torch.Tensor = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
    return weights

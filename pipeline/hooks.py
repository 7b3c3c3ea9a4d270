"""Hooks: hand activations over while the model runs, keep nothing, leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from actlas.pipeline.sites import Place

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.utils.hooks import RemovableHandle
    from transformers import GPT2LMHeadModel

    Sink = Callable[[Place, torch.Tensor], None]


class _AllSeen(Exception):
    """Raised in the last hook: nothing after it is needed. Never leaves this module."""


@contextmanager
def captured(model: nn.Module, places: Sequence[Place], sink: Sink) -> Iterator[None]:
    """Hand the tensor of each of ``places`` to ``sink``, (batch, position, …), while the block runs.

    Modules are resolved before the first hook is registered, so a wrong name leaves nothing behind.
    """
    modules = [(place, model.get_submodule(place.path)) for place in places]
    handles: list[RemovableHandle] = []
    try:
        for place, module in modules:
            handles.append(_register(module, place, sink))
        yield
    finally:
        for handle in handles:
            handle.remove()


def run_captured(model: GPT2LMHeadModel, token_ids: torch.Tensor, places: Sequence[Place], sink: Sink) -> None:
    """Run ``model`` on right-padded ``token_ids`` (batch, position) only as far as ``places`` need it.

    No attention mask: with causal attention and padding on the right no real token sees a padded one. Raises RuntimeError
    if a place was not passed exactly once, as when a model's code no longer calls one of the modules.
    """
    seen: set[tuple[str, int]] = set()

    def count(place: Place, value: torch.Tensor) -> None:
        if place.key in seen:
            raise RuntimeError(f"{place.path} ran twice in one forward pass")
        seen.add(place.key)
        sink(place, value)
        if len(seen) == len(places):
            raise _AllSeen

    with captured(model.transformer, places, count):
        try:
            model.transformer(input_ids=token_ids, use_cache=False)
        except _AllSeen:
            return
    missed = [place.path for place in places if place.key not in seen]
    raise RuntimeError(f"{missed[0]} did not run in the forward pass ({len(missed)} places were missed)")


def _register(module: nn.Module, place: Place, sink: Sink) -> RemovableHandle:
    if place.site.side == "in":

        def before(_module: nn.Module, arguments: tuple[Any, ...]) -> None:
            sink(place, arguments[0][..., place.columns])

        return module.register_forward_pre_hook(before)

    if place.site.weights:

        def weights(_module: nn.Module, _arguments: tuple[Any, ...], output: tuple[Any, ...]) -> None:
            if output[1] is None:
                raise RuntimeError(f"{place.path} gave no attention weights: was the model loaded with eager attention?")
            sink(place, output[1].transpose(1, 2))  # (batch, query, head, key)

        return module.register_forward_hook(weights)

    def after(_module: nn.Module, _arguments: tuple[Any, ...], output: torch.Tensor) -> None:
        sink(place, output[..., place.columns])

    return module.register_forward_hook(after)

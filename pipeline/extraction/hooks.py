"""Hooks: hand activations over while the model runs, keep nothing, leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actlas.pipeline.models.sites import BLOCK, BLOCKS, EMBEDDING, Place
from actlas.store.format.edit_records import STREAM

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.utils.hooks import RemovableHandle
    from transformers import GPT2LMHeadModel

    from actlas.pipeline.edits.apply import Intervention

    Sink = Callable[[Place, torch.Tensor], None]


@dataclass(frozen=True)
class Start:
    """A forward pass that begins in front of block ``layer``, with ``hidden`` (batch, position, d_model) going into it."""

    layer: int
    hidden: torch.Tensor


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


def run_captured(
    model: GPT2LMHeadModel,
    token_ids: torch.Tensor,
    places: Sequence[Place],
    sink: Sink,
    start: Start | None = None,
) -> None:
    """Run ``model`` on right-padded ``token_ids`` (batch, position), from ``start`` if given, as far as ``places`` need it.

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

    with captured(model.transformer, places, count), started_at(model.transformer, start):
        try:
            model.transformer(input_ids=token_ids, use_cache=False)
        except _AllSeen:
            return
    missed = [place.path for place in places if place.key not in seen]
    raise RuntimeError(
        f"{missed[0]} did not run in the forward pass ({len(missed)} places were missed)"
    )


@contextmanager
def edited(model: nn.Module, interventions: Sequence[Intervention]) -> Iterator[None]:
    """Let ``interventions`` change what runs through ``model``; what is captured inside sees the changed values.

    Modules are resolved before the first hook is registered, so a wrong name leaves nothing behind.
    """
    modules = [(each, model.get_submodule(_edited_module(each.place))) for each in interventions]
    handles: list[RemovableHandle] = []
    try:
        for each, module in modules:
            handles.append(_register_edit(module, each))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def started_at(model: nn.Module, start: Start | None) -> Iterator[None]:
    """Take the blocks before ``start`` out of ``model``, and put its ``hidden`` in the place of what they would give."""
    if start is None:
        yield
        return
    blocks = getattr(model, BLOCKS)
    handle = model.get_submodule(EMBEDDING).register_forward_hook(lambda *_: start.hidden)
    try:
        setattr(model, BLOCKS, blocks[start.layer :])
        yield
    finally:
        setattr(model, BLOCKS, blocks)
        handle.remove()


def _edited_module(place: Place) -> str:
    """Return the module whose tensor an edit of ``place`` changes: of the stream what writes it, so that all readers see it."""
    if place.site.name != STREAM:
        return place.path
    return BLOCK.format(layer=place.block - 1) if place.block else EMBEDDING


def _register_edit(module: nn.Module, intervention: Intervention) -> RemovableHandle:
    site = intervention.place.site
    if site.name != STREAM and site.side == "in":
        return module.register_forward_pre_hook(
            lambda _, given: (intervention.apply(given[0]), *given[1:])
        )

    def after(_module: nn.Module, given: tuple[Any, ...], output: Any) -> Any:
        source = given[0] if site.name == STREAM else None
        if isinstance(output, tuple):  # a block's output, up to transformers 5.2
            return (intervention.apply(output[0], source), *output[1:])
        return intervention.apply(output, source)

    return module.register_forward_hook(after)


def _register(module: nn.Module, place: Place, sink: Sink) -> RemovableHandle:
    if place.site.side == "in":

        def before(_module: nn.Module, arguments: tuple[Any, ...]) -> None:
            sink(place, arguments[0][..., place.columns])

        return module.register_forward_pre_hook(before)

    if place.site.weights:

        def weights(
            _module: nn.Module, _arguments: tuple[Any, ...], output: tuple[Any, ...]
        ) -> None:
            if output[1] is None:
                raise RuntimeError(
                    f"{place.path} gave no attention weights: was the model loaded with eager attention?"
                )
            sink(place, output[1].transpose(1, 2))  # (batch, query, head, key)

        return module.register_forward_hook(weights)

    def after(_module: nn.Module, _arguments: tuple[Any, ...], output: torch.Tensor) -> None:
        sink(place, output[..., place.columns])

    return module.register_forward_hook(after)

"""Hooks: hand activations over while the model runs, keep nothing, leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from actlas.pipeline.extraction.attention import tapped
from actlas.pipeline.models.architecture import Architecture, HookPoint
from actlas.store.format.edit_records import STREAM

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.utils.hooks import RemovableHandle

    from actlas.pipeline.edits.apply import Intervention
    from actlas.pipeline.models.family import Model

    Sink = Callable[[HookPoint, torch.Tensor], None]


@dataclass(frozen=True)
class Start:
    """A forward pass that begins in front of block ``layer``.

    ``hidden`` (batch, position, d_model) goes into it.

    ``layer`` may be the number of blocks: then ``hidden`` is the residual stream behind the last.
    """

    layer: int
    hidden: torch.Tensor
    in_tuple: bool  # whether blocks return tuples, see ``blocks_return_tuples``


class _AllSeen(Exception):
    """Raised in the last hook: nothing after it is needed. Never leaves this module."""


@contextmanager
def captured(model: Model, points: Sequence[HookPoint], sink: Sink) -> Iterator[None]:
    """Hand the tensor of each of ``points`` to ``sink``, (batch, position, …), inside the block.

    Modules are resolved before the first hook is registered, so a wrong name leaves nothing behind.
    """
    modules = [(point, model.get_submodule(point.path)) for point in points]
    eager = model.config._attn_implementation == "eager"
    taps = []
    with ExitStack() as stack:
        for point, module in modules:
            if point.row.side == "attention" and not (eager and point.row.part == "pattern"):
                receive = partial(_receive, point, sink)
                taps.append((module, point.row.part, receive))
            else:
                stack.callback(_register(module, point, sink).remove)
        stack.enter_context(tapped(model, taps))
        yield


def _receive(point: HookPoint, sink: Sink, value: torch.Tensor) -> None:
    sink(point, value if point.site.weights else value.flatten(2)[..., point.columns])


def run_captured(
    model: Model,
    architecture: Architecture,
    token_ids: torch.Tensor,
    points: Sequence[HookPoint],
    sink: Sink,
    start: Start | None = None,
    real: torch.Tensor | None = None,
) -> None:
    """Run ``model`` on right-padded ``token_ids`` (batch, position), as far as ``points`` need it.

    start: where the pass begins; at the embeddings where None. real: which positions are tokens,
    (batch, position), all where None: a causal model needs no mask, as with padding on the right no
    real token sees a padded one. Raises RuntimeError unless each of ``points`` was passed exactly
    once, as when a model's code no longer calls one of the modules.
    """
    seen: set[tuple[str, int]] = set()

    def count(point: HookPoint, value: torch.Tensor) -> None:
        if point.key in seen:
            raise RuntimeError(f"{point.path} ran twice in one forward pass")
        seen.add(point.key)
        sink(point, value)
        if len(seen) == len(points):
            raise _AllSeen

    with captured(model, points, count), started_at(model, architecture, start):
        try:
            architecture.family.run(model, token_ids, real)
        except _AllSeen:
            return
    missed = [point.path for point in points if point.key not in seen]
    raise RuntimeError(
        f"{missed[0]} did not run in the forward pass ({len(missed)} hook points were missed)"
    )


@contextmanager
def edited(model: nn.Module, interventions: Sequence[Intervention]) -> Iterator[None]:
    """Let ``interventions``, in the order of the forward pass, change what runs through ``model``.

    What is captured inside sees the changed values. The residual stream is edited where the next
    block reads it, so that all who read it see the change.
    """
    with ExitStack() as stack:
        for each in interventions:
            if (before := each.source) is not None:
                module = model.get_submodule(before.path)
                stack.callback(_register(module, before, each.keep).remove)
            stack.callback(_register_edit(model.get_submodule(each.point.path), each).remove)
        yield


@contextmanager
def started_at(model: Model, architecture: Architecture, start: Start | None) -> Iterator[None]:
    """Let the blocks before ``start`` return what they are given.

    Its ``hidden`` then goes into the next block.

    The list of blocks stays whole: some models look up by position in it what kind a block is.
    Masks and positions are made by the model itself.
    """
    if start is None:
        yield
        return
    skipped = [model.get_submodule(architecture.block(layer)) for layer in range(start.layer)]
    point = architecture.hook_point(STREAM, start.layer)
    # first of all hooks of the module: edits and captures see it
    handle = _replace(model.get_submodule(point.path), point, lambda _: start.hidden, prepend=True)
    try:
        for block in skipped:
            vars(block)["forward"] = lambda hidden, *_, **__: (
                (hidden,) if start.in_tuple else hidden
            )
        yield
    finally:
        for block in skipped:
            vars(block).pop("forward", None)
        handle.remove()


#: model → whether its blocks return tuples, which depends on the version of transformers
_TUPLES: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def blocks_return_tuples(model: Model, architecture: Architecture) -> bool:
    """Return whether blocks of ``model`` return tuples, by running the first on one token.

    It must have no hooks yet: they would be called.
    """
    import torch

    if model not in _TUPLES:

        def look(_module: nn.Module, _given: tuple[Any, ...], output: Any) -> None:
            _TUPLES[model] = isinstance(output, tuple)
            raise _AllSeen

        handle = model.get_submodule(architecture.block(0)).register_forward_hook(look)
        try:
            architecture.family.run(model, torch.zeros((1, 1), dtype=torch.long).to(model.device))
        except _AllSeen:
            pass
        finally:
            handle.remove()
    return _TUPLES[model]


def _register_edit(module: nn.Module, intervention: Intervention) -> RemovableHandle:
    return _replace(module, intervention.point, intervention.apply)


def _replace(
    module: nn.Module,
    point: HookPoint,
    change: Callable[[torch.Tensor], torch.Tensor],
    *,
    prepend: bool = False,
) -> RemovableHandle:
    """Put ``change`` of the tensor at ``point`` in its place."""
    if point.row.side == "in":
        return module.register_forward_pre_hook(
            lambda _, given: (change(given[0]), *given[1:]), prepend=prepend
        )

    def changed(value: torch.Tensor) -> torch.Tensor:
        if point.row.form == "flat":
            return change(value)
        first = point.row.form == "heads first"
        heads = value.transpose(1, 2) if first else value  # (batch, position, head, column)
        after = change(heads.flatten(2)).view_as(heads)
        return after.transpose(1, 2) if first else after

    def after(_module: nn.Module, _given: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, tuple):
            return (changed(output[0]), *output[1:])
        return changed(output)

    return module.register_forward_hook(after, prepend=prepend)


def _register(module: nn.Module, point: HookPoint, sink: Sink) -> RemovableHandle:
    if point.row.side == "in":

        def before(_module: nn.Module, given: tuple[Any, ...]) -> None:
            sink(point, given[0][..., point.columns])

        return module.register_forward_pre_hook(before)

    def after(_module: nn.Module, _given: tuple[Any, ...], output: Any) -> None:
        if point.site.weights:
            weights = output[1] if isinstance(output, tuple) else None
            if weights is None:
                raise RuntimeError(
                    f"{point.path} gave no attention weights: was the model loaded with eager "
                    "attention?"
                )
            sink(point, weights.transpose(1, 2))  # (batch, query, head, key)
            return
        value = output[0] if isinstance(output, tuple) else output
        if point.row.form != "flat":
            value = value.transpose(1, 2) if point.row.form == "heads first" else value
            value = value.flatten(2)
        sink(point, value[..., point.columns])

    return module.register_forward_hook(after)

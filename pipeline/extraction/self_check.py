"""Whether a loaded model is laid out as its family says, found on three tokens.

Names and layouts change between versions of transformers. Here each place must be passed once with
its width, parts must add up to the residual stream, and the head must give the model's logits. So
the next change is refused, and never a wrong number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from weakref import WeakSet

from actlas.pipeline.extraction.hooks import captured
from actlas.pipeline.models.architecture import Architecture, HookPoint
from actlas.pipeline.models.installed import version
from actlas.store.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from actlas.pipeline.models.family import Model

    Values = dict[tuple[str, int], torch.Tensor]

TOKENS = 3
#: of the largest value, in units of the precision: a sum of three rounds a few times
ROUNDINGS = 16.0

_CHECKED: WeakSet[nn.Module] = WeakSet()


def check_layout(model: Model, architecture: Architecture, attention: str) -> None:
    """Raise UsageError unless ``model`` computes what its family says, place by place.

    A model that was checked is not checked again. It is left as it was, in train mode too.
    """
    import torch

    if model in _CHECKED:
        return
    training = model.training
    model.eval()
    try:
        with torch.no_grad():  # inference mode does not count what is done to a tensor
            _check(model, architecture, attention)
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise _refused(architecture, str(error)) from error
    finally:
        model.train(training)
    _CHECKED.add(model)


def _check(model: Model, architecture: Architecture, attention: str) -> None:
    import torch

    vocabulary = architecture.geometry.vocabulary
    token_ids = (torch.arange(TOKENS) % vocabulary)[None].to(model.device)
    names = [name for name in architecture.available(attention) if name != "nll"]
    points = architecture.hook_points(names)
    values: Values = {}
    given: dict[tuple[str, int], tuple[torch.Tensor, int]] = {}

    def keep(point: HookPoint, value: torch.Tensor) -> None:
        if point.key in values:
            raise RuntimeError(f"{point.path} ran twice in one forward pass")
        values[point.key], given[point.key] = value.clone(), (value, value._version)

    with captured(model, points, keep):  # one pass, to the logits: large models take a second
        logits = (
            model(input_ids=token_ids, use_cache=False).logits
            if architecture.family.causal
            else None
        )
        if logits is None:
            architecture.family.run(model, token_ids)
    if missed := [point.path for point in points if point.key not in values]:
        raise RuntimeError(f"{missed[0]} did not run ({len(missed)} places were missed)")
    for point in points:
        value, version_then = given[point.key]
        changed = value._version != version_then  # also where these three tokens show nothing
        if wrong := _misplaced(point, architecture, values[point.key], changed=changed):
            raise _refused(architecture, f"{point.site.name} at {point.path} {wrong}")
    for what, one, other in _laws(model, architecture, values, logits):
        if not _close(one, other):
            difference = float((one - other).abs().max())
            raise _refused(architecture, f"{what} does not hold (off by {difference:g})")


def _misplaced(
    point: HookPoint, architecture: Architecture, value: torch.Tensor, *, changed: bool
) -> str | None:
    """Return what is wrong with what was captured at ``point``, changed in place since or not."""
    heads, width = point.site.columns(architecture.geometry) if not point.site.weights else (0, 0)
    weights = (1, TOKENS, architecture.geometry.n_head, TOKENS)
    expected = weights if point.site.weights else (1, TOKENS, heads * width)
    if tuple(value.shape) != expected:
        return f"has shape {tuple(value.shape)}, expected {expected}"
    if changed and not point.row.copy:
        return "is changed in place after it was computed"
    return None


def _laws(
    model: Model, architecture: Architecture, values: Values, logits: torch.Tensor | None
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """Yield pairs that must be equal, each with what it says."""
    family = architecture.family
    for layer in range(architecture.geometry.n_layer):
        before, after = values["resid", layer], values["resid", layer + 1]
        attention, mlp = values["attn_out", layer], values["mlp_out", layer]
        if family.law == "post":
            middle = values["resid_mid", layer]
            for name, depth, total, result in (
                ("resid_mid", layer, before + attention, middle),
                ("resid", layer + 1, middle + mlp, after),
            ):
                norm = model.get_submodule(architecture.norm_path(name, layer))
                yield f"{name}[{depth}] as the norm of a sum", norm(total), result
            continue
        if family.law == "add":
            middle = values["resid_mid", layer]
            yield f"resid + attn_out = resid_mid in layer {layer}", before + attention, middle
        yield f"resid + attn_out + mlp_out in layer {layer}", before + attention + mlp, after
    if logits is not None:
        yield "head(final_norm) = logits", family.logits(model, values["final_norm", 0]), logits


def _close(one: torch.Tensor, other: torch.Tensor) -> bool:
    import torch

    allowed = ROUNDINGS * torch.finfo(other.dtype).eps * float(other.abs().max())
    return bool((one - other).abs().max() <= allowed)


def _refused(architecture: Architecture, what: str) -> UsageError:
    return UsageError(
        f"transformers {version()} computes {architecture.family.model_type} otherwise than this "
        f"actlas expects: {what}: use another version of transformers, and report it"
    )

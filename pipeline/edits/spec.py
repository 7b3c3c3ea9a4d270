"""Edits: one intervention each, and the only reader of their texts.

From the command line and from study files.

``skip:layer=5`` · ``scale:layer=2,factor=0.5`` · ``zero:site=k,layer=4,head=2`` ·
``noise:site=mlp_post,layer=3,neurons=::2,mean=10,std=1,seed=0``. ``layer=l`` without a site is the
output of layer l: the residual stream at depth l + 1. What a run keeps of an edit, and the text it
prints, is `store.format.edit_records`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import groupby
from typing import ClassVar

from actlas.pipeline.edits.targets import EditTarget
from actlas.pipeline.models.hook_names import site_name
from actlas.store.errors import UsageError, quoted, unknown
from actlas.store.format.edit_records import STREAM, EditRecord, Elements, Stride, elements_name

NUMBER = r"[0-9]{1,9}"
LIST = re.compile(rf"{NUMBER}(\+{NUMBER})*")
SLICE = re.compile(rf"(-?{NUMBER})?:(-?{NUMBER})?(?::({NUMBER})?)?")


@dataclass(frozen=True)
class Skip:
    """A layer's output is its input."""

    kind: ClassVar[str] = "skip"
    target: EditTarget

    def __post_init__(self) -> None:
        """Raise UsageError unless it is the output of a whole layer."""
        if self.target != EditTarget(STREAM, self.target.index or 0) or not self.target.index:
            raise UsageError(
                f"only a whole layer can be skipped: expected skip:layer=N, got "
                f"{edit_record(self).where}"
            )


@dataclass(frozen=True)
class Scale:
    """Values are multiplied by ``factor``."""

    kind: ClassVar[str] = "scale"
    target: EditTarget
    factor: float

    def __post_init__(self) -> None:
        """Raise UsageError for a factor that is not a finite number."""
        _finite(factor=self.factor)


@dataclass(frozen=True)
class Zero:
    """Values become 0. Zero keys make a head attend uniformly; zero ``z`` removes it."""

    kind: ClassVar[str] = "zero"
    target: EditTarget


@dataclass(frozen=True)
class Noise:
    """Values become draws from N(mean, std²), the same for a sentence in any batch."""

    kind: ClassVar[str] = "noise"
    target: EditTarget
    mean: float = 0.0
    std: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise UsageError for numbers that are not finite, a negative ``std`` or ``seed``."""
        _finite(mean=self.mean, std=self.std)
        if self.std < 0 or self.seed < 0:
            raise UsageError(f"std={self.std:g} and seed={self.seed} must not be negative")


Edit = Skip | Scale | Zero | Noise
KINDS: Mapping[str, type[Edit]] = {kind.kind: kind for kind in (Skip, Scale, Zero, Noise)}
ELEMENTS = ("neurons", "dims")
_WHERE = ("layer", "site", "depth", "head", *ELEMENTS)
EXAMPLE = "scale:layer=2,factor=0.5"


def parse_edit(text: str) -> Edit:
    """Return the edit that ``text`` describes.

    Raises UsageError, with what was expected, for any other text.
    """
    return edit_of(text, *split_edit(text))


def edit_of(text: str, kind: str, values: Mapping[str, str]) -> Edit:
    """Return the edit of a kind and fields as ``split_edit`` gives them.

    ``text`` is how errors call it.
    """
    wanted = KINDS[kind]
    own = {field.name: field.type for field in fields(wanted) if field.name != "target"}
    try:
        for name in values:
            if name not in (*_WHERE, *own):
                raise unknown("field", name, (*_WHERE, *own))
        given = [name for name in own if name in values]
        numbers = {name: _number(name, values[name], integer=own[name] == "int") for name in given}
        return wanted(_target(values), **numbers)  # type: ignore[arg-type]  # int only where the field is one
    except TypeError as error:
        missing = ", ".join(f"{name}=" for name in own if name not in values)
        raise UsageError(f"edit {quoted(text)} lacks {missing}") from error
    except UsageError as error:
        raise UsageError(f"edit {quoted(text)}: {error}") from error


def split_edit(text: str) -> tuple[str, dict[str, str]]:
    """Return kind and fields of an edit's text, values as they are written.

    Raises UsageError if it has not that form.
    """
    kind, _, rest = text.partition(":")
    if kind not in KINDS:
        raise UsageError(
            f"edit {quoted(text)}: {unknown('kind of edit', kind, KINDS)}, as in {EXAMPLE}"
        )
    values: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, value = part.partition("=")
        if not equals or not value or name in values:
            fault = "is given twice" if name in values else "is not of the form name=value"
            raise UsageError(f"edit {quoted(text)}: {quoted(part)} {fault}, as in {EXAMPLE}")
        values[name] = value
    return kind, values


def edit_record(edit: Edit) -> EditRecord:
    """Return the edit as a run's specification keeps it, every parameter written out."""
    target = edit.target
    own = {
        field.name: getattr(edit, field.name) for field in fields(edit) if field.name != "target"
    }
    return EditRecord(edit.kind, target.site, target.index, target.head, target.elements, own)


def edit_text(edit: Edit) -> str:
    """Return the one text form of ``edit``, every parameter written out."""
    return edit_record(edit).text


def in_order(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """Return ``edits`` in the order of the forward pass.

    Edits of heads of one site that follow each other are sorted by head.

    Those of one target, or of a head and of all heads, compose in the order given.
    """
    passed = sorted(edits, key=lambda edit: edit.target.order)
    stretches = groupby(passed, key=lambda edit: (edit.target.order, edit.target.head is None))
    return tuple(
        edit
        for _, stretch in stretches
        for edit in sorted(stretch, key=lambda edit: edit.target.head or 0)
    )


def _target(values: Mapping[str, str]) -> EditTarget:
    if "site" not in values:
        return EditTarget(STREAM, _layer(values) + 1, None, _elements(STREAM, values))
    head = _integer("head", values["head"]) if "head" in values else None
    point = site_name(values["site"])
    own, other = ("depth", "layer") if point.site == STREAM else ("layer", "depth")
    given = {name: _integer(name, values[name]) for name in ("layer", "depth") if name in values}
    if point.layer is not None and given.setdefault("layer", point.layer) != point.layer:
        raise UsageError(
            f"site={point.name} is of layer {point.layer}, not {given['layer']}: leave layer= out"
        )
    if (
        point.site == STREAM
        and point.side is not None
        and "layer" in given
        and "depth" not in given
    ):
        given["depth"] = given.pop("layer") + (point.side == "post")
    if other in given:
        raise UsageError(_counted_otherwise(point.site, given))
    return EditTarget(point.site, given.get(own), head, _elements(point.site, values))


def _layer(values: Mapping[str, str]) -> int:
    """Return the layer of an edit without a site, whose output it acts on."""
    if "layer" not in values:
        raise UsageError("it lacks layer= or site=")
    if others := [name for name in ("depth", "head") if name in values]:
        raise UsageError(
            f"layer= without site= is the output of the whole layer: leave {others[0]}= out, or "
            "give site="
        )
    return _integer("layer", values["layer"])


def _counted_otherwise(site: str, given: Mapping[str, int]) -> str:
    """Say how the places of a site are counted, where they were counted in the other way."""
    if site != STREAM:
        return f"{site} is counted by layer=, not depth="
    if "depth" in given:
        return f"{STREAM} is counted by depth=, not layer=: leave layer= out"
    layer = given["layer"]
    return (
        f"{STREAM} is counted by depth=, not layer=: depth={layer} is the input of layer {layer}, "
        f"depth={layer + 1} its output, as hook_resid_pre and hook_resid_post"
    )


def _elements(site: str, values: Mapping[str, str]) -> Elements | None:
    """Return the neurons or dims that an edit of ``site`` chooses, None for all.

    Raises UsageError for the one where the site has the other, and for what is not a choice.
    """
    name = elements_name(site)
    for other in ELEMENTS:
        if other != name and other in values:
            raise UsageError(f"{site} has {name}: expected {name}=, got {other}=")
    if name not in values:
        return None
    text = values[name]
    if LIST.fullmatch(text):
        return tuple(int(number) for number in text.split("+"))
    match = SLICE.fullmatch(text)
    start, stop, step = (
        (None if part is None else int(part) for part in match.groups()) if match else (0, 0, 0)
    )
    if step == 0:
        raise UsageError(
            f"{name}={quoted(text)} is neither a slice such as ::2 nor numbers such as 0+4+7"
        )
    return Stride(start, stop, step)


def _number(name: str, text: str, *, integer: bool) -> float:
    try:
        return int(text) if integer else float(text) + 0.0  # -0.0 is 0.0: one number, one text
    except ValueError as error:
        raise UsageError(f"{name}={quoted(text)} is not a {'whole ' * integer}number") from error


def _integer(name: str, text: str) -> int:
    if not re.fullmatch(NUMBER, text):
        several = " (several at once: `actlas sweep`)" if re.search(r"[*|-]", text) else ""
        raise UsageError(f"{name}={quoted(text)} is not a whole number from 0 on{several}")
    return int(text)


def _finite(**numbers: float) -> None:
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise UsageError(f"{name}={number} is not finite")

"""Edits: one intervention each, with one text form for the command line, for study files and for a run's identity.

``skip:block=5`` · ``scale:block=2,factor=0.5`` · ``zero:site=k,layer=4,head=2`` ·
``noise:site=mlp_post,layer=3,units=::2,mean=10,std=1,seed=0``. ``block=b`` is the residual stream at depth b + 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import groupby
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from actlas.pipeline.configuration import Geometry
from actlas.pipeline.sites import SITES, Place, places, site_names
from actlas.store.errors import UsageError, unknown

STREAM = "resid"  # the site whose edits act on the stream itself, between two blocks
NUMBER = r"[0-9]{1,9}"
LIST = re.compile(rf"{NUMBER}(\+{NUMBER})*")
SLICE = re.compile(rf"(-?{NUMBER})?:(-?{NUMBER})?(?::({NUMBER})?)?")


@dataclass(frozen=True)
class Spot:
    """Where an edit acts: a site in a layer (``resid``: at a depth), one head or all, some units of its last dim or all."""

    site: str
    index: int | None  # layer or depth; None for a site that has neither
    head: int | None = None
    units: str | None = None  # a slice as Python writes it, or numbers joined by +

    def __post_init__(self) -> None:
        """Raise UsageError for a site that cannot be edited, and for parts it does not have."""
        site = SITES.get(self.site)
        if site is None or not site.editable:
            editable = [name for name, site in SITES.items() if site.editable]
            raise (
                UsageError(f"cannot edit {self.site}: wanted {', '.join(editable)}, or block=")
                if site
                else unknown("site", self.site, editable)
            )
        if (self.index is None) != (site.dims[0] == "token"):
            raise UsageError(f"an edit of {self.site} {f'needs {site.dims[0]}=' if self.index is None else 'has no layer'}")
        if self.head is not None and "head" not in site.dims:
            raise UsageError(f"{self.site} has no heads: leave head={self.head} out")
        if self.units is not None:
            object.__setattr__(self, "units", _plain_units(self.units))  # one choice, one text, one run

    @property
    def order(self) -> tuple[int, int]:
        """Sorts spots as the forward pass comes to them."""
        if self.index is None:
            return (1 << 30, 0)
        return (self.index, 0 if self.site == STREAM else 1 + list(SITES).index(self.site))

    def text(self) -> str:
        """Return the fields of the text form."""
        where = [f"site={self.site}"] + ([] if self.index is None else [f"layer={self.index}"])
        if self.site == STREAM:
            where = [f"block={self.index - 1}"] if self.index else [f"site={STREAM}", "depth=0"]
        where += [] if self.head is None else [f"head={self.head}"]
        return ",".join(where + ([] if self.units is None else [f"units={self.units}"]))

    def place(self, geometry: Geometry) -> Place:
        """Return the place in the model; raises UsageError if it has no such layer, head or unit."""
        found = {place.block: place for place in places((self.site,), geometry)}
        place = found.get(self.index or 0)
        if place is None:
            kind, last = ("block", len(found) - 2) if self.site == STREAM else ("layer", len(found) - 1)
            at = (self.index or 0) - (self.site == STREAM)
            raise UsageError(f"edit of {kind} {at}: the model has {kind}s 0 to {last}")
        self.columns(geometry)
        return place

    def columns(self, geometry: Geometry) -> npt.NDArray[np.int64]:
        """Return the columns of the module's tensor that are edited, (column,); raises UsageError for those it lacks.

        Head i of K is d_model + i · d_head : d_model + (i + 1) · d_head of the fused Q, K, V.
        """
        site = SITES[self.site]
        heads, size = (geometry.n_head, geometry.d_head) if "head" in site.dims else (1, geometry.sizes[site.dims[-1]])
        if self.head is not None and self.head >= heads:
            raise UsageError(f"head={self.head}: the model has heads 0 to {heads - 1}")
        grid = np.arange(heads * size).reshape(heads, size) + (site.part or 0) * geometry.d_model  # (head, unit)
        rows = grid if self.head is None else grid[self.head : self.head + 1]
        return rows[:, _units(self.units, size)].reshape(-1)


@dataclass(frozen=True)
class Skip:
    """A block's output is its input."""

    kind: ClassVar[str] = "skip"
    spot: Spot

    def __post_init__(self) -> None:
        """Raise UsageError unless it is a whole block."""
        if self.spot != Spot(STREAM, self.spot.index or 0) or not self.spot.index:
            raise UsageError(f"only a block can be skipped, found {self.spot.text()}: wanted skip:block=N")


@dataclass(frozen=True)
class Scale:
    """Values are multiplied by ``factor``."""

    kind: ClassVar[str] = "scale"
    spot: Spot
    factor: float

    def __post_init__(self) -> None:
        """Raise UsageError for a factor that is no finite number."""
        _finite(factor=self.factor)


@dataclass(frozen=True)
class Zero:
    """Values become 0. Zero keys make a head attend uniformly; zero ``z`` removes it."""

    kind: ClassVar[str] = "zero"
    spot: Spot


@dataclass(frozen=True)
class Noise:
    """Values become draws from N(mean, std²), the same for a sentence whatever it is batched with."""

    kind: ClassVar[str] = "noise"
    spot: Spot
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
_WHERE = ("block", "site", "layer", "depth", "head", "units")


def parse_edit(text: str) -> Edit:
    """Return the edit that ``text`` describes; raises UsageError, with what was wanted, for any other text."""
    kind, values = split_edit(text)
    wanted = KINDS[kind]
    own = {field.name: field.type for field in fields(wanted) if field.name != "spot"}
    for name in values:
        if name not in (*_WHERE, *own):
            raise UsageError(f"edit {text!r}: {unknown('field', name, (*_WHERE, *own))}")
    try:
        numbers = {name: _number(name, values[name], integer=kind == "int") for name, kind in own.items() if name in values}
        return wanted(_spot(values), **numbers)  # type: ignore[arg-type]  # int only where the field is one
    except TypeError as error:
        lacking = ", ".join(f"{name}=" for name in own if name not in values)
        raise UsageError(f"edit {text!r} lacks {lacking}") from error
    except UsageError as error:
        raise UsageError(f"edit {text!r}: {error}") from error


def split_edit(text: str) -> tuple[str, dict[str, str]]:
    """Return kind and fields of an edit's text, values as they are written; raises UsageError if it has not that form."""
    kind, _, rest = text.partition(":")
    if kind not in KINDS:
        raise UsageError(f"edit {text!r}: {unknown('kind of edit', kind, KINDS)}, as in scale:block=2,factor=0.5")
    values: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, value = part.partition("=")
        if not equals or not value or name in values:
            fault = "is given twice" if name in values else "is not of the form name=value"
            raise UsageError(f"edit {text!r}: {part!r} {fault}, as in scale:block=2,factor=0.5")
        values[name] = value
    return kind, values


def edit_text(edit: Edit) -> str:
    """Return the one text form of ``edit``, every parameter written out."""
    own = [f"{field.name}={_plain(getattr(edit, field.name))}" for field in fields(edit) if field.name != "spot"]
    return f"{edit.kind}:{','.join([edit.spot.text(), *own])}"


def in_order(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """Return ``edits`` as the forward pass comes to them, by head where they follow each other in heads of one site.

    Those of one spot, or of a head and of all heads, compose in the order given.
    """
    passed = sorted(edits, key=lambda edit: edit.spot.order)
    stretches = groupby(passed, key=lambda edit: (edit.spot.order, edit.spot.head is None))
    return tuple(edit for _, stretch in stretches for edit in sorted(stretch, key=lambda edit: edit.spot.head or 0))


def _spot(values: Mapping[str, str]) -> Spot:
    head = _integer("head", values["head"]) if "head" in values else None
    units = values.get("units")
    if "block" in values:
        if others := [name for name in ("site", "layer", "depth", "head") if name in values]:
            raise UsageError(f"block= stands for the whole block: leave {others[0]}= out")
        return Spot(STREAM, _integer("block", values["block"]) + 1, None, units)
    if "site" not in values:
        raise UsageError("it lacks block= or site=")
    (site,) = site_names([values["site"]])
    name, other = ("depth", "layer") if site == STREAM else ("layer", "depth")
    if other in values:
        raise UsageError(f"{site} is counted by {name}=, not {other}=")
    return Spot(site, _integer(name, values[name]) if name in values else None, head, units)


def _plain_units(text: str) -> str | None:
    """Return the one text of a choice of units, None for all of them; raises UsageError for what is none."""
    if LIST.fullmatch(text):
        return "+".join(str(number) for number in sorted({int(number) for number in text.split("+")}))
    match = SLICE.fullmatch(text)
    start, stop, step = (None if part is None else int(part) for part in match.groups()) if match else (0, 0, 0)
    if step == 0:
        raise UsageError(f"units={text} is neither a slice such as ::2 nor numbers such as 0+4+7")
    plain = f"{start or ''}:{'' if stop is None else stop}" + (f":{step}" if (step or 1) > 1 else "")
    return None if plain == ":" else plain


def _units(units: str | None, size: int) -> npt.NDArray[np.int64]:
    """Return the numbers of the chosen units of ``size``."""
    if units is None:
        return np.arange(size)
    if ":" in units:
        chosen = np.arange(size)[slice(*(int(part) if part else None for part in units.split(":")))]
        if not len(chosen):
            raise UsageError(f"units={units} chooses none of {size} units")
        return chosen
    chosen = np.array([int(number) for number in units.split("+")])
    if chosen.max() >= size:
        raise UsageError(f"units={units}: there are units 0 to {size - 1}")
    return chosen


def _number(name: str, text: str, *, integer: bool) -> float:
    try:
        return int(text) if integer else float(text) + 0.0  # -0.0 is 0.0: one number, one text
    except ValueError as error:
        raise UsageError(f"{name}={text} is not a {'whole ' * integer}number") from error


def _integer(name: str, text: str) -> int:
    if not re.fullmatch(NUMBER, text):
        several = " (several at once: `actlas sweep`)" if re.search(r"[*|-]", text) else ""
        raise UsageError(f"{name}={text} is not a whole number from 0 on{several}")
    return int(text)


def _finite(**numbers: float) -> None:
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise UsageError(f"{name}={number} is not finite")


def _plain(number: float) -> str:
    if isinstance(number, int) or (number.is_integer() and abs(number) < 1 << 53):
        return repr(int(number))
    return repr(float(number))

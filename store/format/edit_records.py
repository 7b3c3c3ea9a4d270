"""Edits as data: what a run's specification keeps of each intervention.

Analyses read it as data.

``{"kind": "scale", "site": "resid", "depth": 3, "dims": {"step": 2}, "factor": 0.5}``. The text
that people read and type, ``scale:layer=2,dims=::2,factor=0.5``, is made from it here;
`pipeline.edits` is the only place that reads such a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from actlas.store.errors import DamagedStore, quoted
from actlas.store.format.schema import Json

STREAM = "resid"  # the site whose edits act on the residual stream itself, between two layers
#: sites inside the MLP, whose last dim is its neurons
NEURON_SITES = frozenset({"mlp_pre", "mlp_post", "mlp_up"})

#: kind → its parameters, in the order of the text
KINDS: Mapping[str, tuple[str, ...]] = {
    "skip": (),
    "scale": ("factor",),
    "zero": (),
    "noise": ("mean", "std", "seed"),
}
#: parameters that are whole numbers; the others are floats
WHOLE = frozenset({"seed"})


@dataclass(frozen=True)
class Stride:
    """Numbers start, start + step, … before stop, as a slice of Python counts them."""

    start: int | None = None
    stop: int | None = None
    step: int | None = None

    @property
    def slice(self) -> slice:
        """Return it for indexing."""
        return slice(self.start, self.stop, self.step)

    def __str__(self) -> str:
        """Write it as Python does."""
        bounds = (
            (self.start, self.stop) if self.step is None else (self.start, self.stop, self.step)
        )
        return ":".join("" if bound is None else str(bound) for bound in bounds)


Elements = tuple[int, ...] | Stride


def elements_name(site: str) -> str:
    """Return what the elements of a site's last dim are called in edits: neurons or dims."""
    return "neurons" if site in NEURON_SITES else "dims"


@dataclass(frozen=True)
class EditRecord:
    """One edit: what is done, and where.

    Depth ``d`` of ``resid`` is the output of layer ``d - 1``.
    """

    kind: str  # of KINDS
    site: str
    index: int | None = None  # layer, of ``resid`` the depth; None for a site that has neither
    head: int | None = None  # None: all
    elements: Elements | None = None  # of the site's last dim; None: all
    parameters: Mapping[str, float] = field(default_factory=dict)

    @property
    def edited_layer(self) -> int | None:
        """The layer whose output is edited, which then is not the sum of its input and parts.

        None where the edit acts elsewhere.
        """
        return self.index - 1 if self.site == STREAM and self.index else None

    @property
    def where(self) -> str:
        """The part of the text that says where the edit acts."""
        if self.site == STREAM:
            layer = self.edited_layer
            parts = [f"site={STREAM}", "depth=0"] if layer is None else [f"layer={layer}"]
        else:
            parts = [f"site={self.site}"] + ([] if self.index is None else [f"layer={self.index}"])
        if self.head is not None:
            parts.append(f"head={self.head}")
        if self.elements is not None:
            parts.append(f"{elements_name(self.site)}={elements_text(self.elements)}")
        return ",".join(parts)

    @property
    def text(self) -> str:
        """The one text of the edit, every parameter written out."""
        return ",".join(
            [f"{self.kind}:{self.where}", *(f"{n}={_plain(v)}" for n, v in self.parameters.items())]
        )

    def branch(self, layers: int) -> tuple[int, int]:
        """Return the first layer and the first depth that the edit can change.

        Of a model of ``layers`` layers.
        """
        if self.index is None:  # behind the last layer
            return layers, layers + 1
        return self.index, self.index + (self.site != STREAM)

    def to_json(self) -> Json:
        """Return the edit as the specification of a run keeps it."""
        found: dict[str, Any] = {"kind": self.kind, "site": self.site}
        if self.index is not None:
            found["depth" if self.site == STREAM else "layer"] = self.index
        if self.head is not None:
            found["head"] = self.head
        elements = elements_name(self.site)
        if isinstance(self.elements, Stride):
            given = vars(self.elements).items()
            found[elements] = {name: value for name, value in given if value is not None}
        elif self.elements is not None:
            found[elements] = list(self.elements)
        return {**found, **self.parameters}

    @classmethod
    def from_json(cls, record: object) -> EditRecord:
        """Undo ``to_json``.

        Raises DamagedStore for what is not an edit: a store can come from anywhere.
        """
        if (
            not isinstance(record, dict)
            or not isinstance(record.get("kind"), str)
            or record["kind"] not in KINDS
        ):
            raise DamagedStore(
                f"expected an edit with a kind ({', '.join(KINDS)}), got {quoted(record)}"
            )
        index = "depth" if record.get("site") == STREAM else "layer"
        wanted, elements = KINDS[record["kind"]], elements_name(str(record.get("site")))
        valid = (
            isinstance(record.get("site"), str)
            and record.keys() <= {"kind", "site", index, "head", elements, *wanted}
            and all(_is_count(record[name]) for name in (index, "head") if name in record)
            and all(_is_number(record.get(name), name in WHOLE) for name in wanted)
        )
        if not valid:
            raise DamagedStore(
                f"expected an edit with site, {index} and {', '.join(wanted) or 'no more'}, got "
                f"{quoted(record)}"
            )
        chosen = _elements_read(record[elements]) if elements in record else None
        parameters = {name: record[name] for name in wanted}
        return cls(
            record["kind"],
            record["site"],
            record.get(index),
            record.get("head"),
            chosen,
            parameters,
        )


def read_edits(specification: Json) -> tuple[EditRecord, ...]:
    """Return the edits of a run's specification.

    A baseline has none. Raises DamagedStore for anything else.
    """
    edits = specification.get("edits") or []
    if not isinstance(edits, list):
        raise DamagedStore(f"the edits of the run are {quoted(edits)}, expected a list")
    return tuple(EditRecord.from_json(edit) for edit in edits)


def edits_text(edits: Iterable[EditRecord]) -> str:
    """Return the text of edits that act together."""
    return " ".join(edit.text for edit in edits)


def branch_of(edits: Sequence[EditRecord], layers: int) -> tuple[int, int]:
    """Return the first layer and the first depth that ``edits`` can change.

    What comes before is the baseline's.
    """
    found = [edit.branch(layers) for edit in edits]
    return min(layer for layer, _ in found), min(depth for _, depth in found)


def elements_text(elements: Elements) -> str:
    """Return the text of a choice of elements: a slice ``::2``, or numbers ``0+4+7``."""
    return str(elements) if isinstance(elements, Stride) else "+".join(map(str, elements))


def _elements_read(given: object) -> Elements:
    if isinstance(given, list) and given and all(_is_count(number) for number in given):
        return tuple(given)
    if isinstance(given, dict) and given and given.keys() <= {"start", "stop", "step"}:
        valid = all(type(value) is int for value in given.values()) and given.get("step", 1) > 0
        if valid:
            return Stride(**given)
    raise DamagedStore(
        f"expected neurons or dims of an edit as a list or a slice, got {quoted(given)}"
    )


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: object, whole: bool) -> bool:
    return type(value) is int or (type(value) is float and not whole)


def _plain(number: float) -> str:
    if isinstance(number, int) or (number.is_integer() and abs(number) < 1 << 53):
        return repr(int(number))
    return repr(float(number))

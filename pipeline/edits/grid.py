"""Sweeps: one text for many edits, such as ``skip:layer=*`` or ``scale:layer=2,factor=0.5|1.5``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product

from actlas.pipeline.edits.spec import NUMBER, Edit, edit_of, split_edit
from actlas.pipeline.models.architecture import Architecture
from actlas.pipeline.models.sites import SITES
from actlas.store.errors import UsageError, quoted

COUNTED = ("layer", "depth", "head", "seed")  # fields that take ranges such as 0-5
OF_KEYS = {name for name, site in SITES.items() if "kv_head" in site.dims}
EVERY_LAYER = "blocks.*."  # begins TransformerLens' name of a site, in every layer
MOST = 10_000  # variants of one sweep: more are a slip of the keyboard


def expand(texts: Sequence[str], architecture: Architecture) -> list[Edit]:
    """Return the edits of all ``texts``, in order, each once.

    ``a|b`` are alternatives, ``2-5`` a range, ``*`` all layers, depths or heads of the model;
    several such fields give all combinations. Raises UsageError for what is not an edit, and for
    layers, heads, neurons and dims that the model lacks.
    """
    edits: dict[Edit, None] = {}
    for text in texts:
        for edit in _expanded(text, architecture):
            edit.target.hook_point(architecture)
            edits[edit] = None
    return list(edits)


def _expanded(text: str, architecture: Architecture) -> list[Edit]:
    kind, values = split_edit(text)
    choices: list[list[str]] = []
    count = 1
    for name, value in values.items():
        counts = _counts(values, architecture)
        found: list[str] = []
        for part in value.split("|"):
            found += _choices(name, part, counts)
        choices.append(found)
        count *= len(choices[-1])
    if count > MOST:
        raise UsageError(f"sweep {quoted(text)} has {count:,} variants, expected {MOST:,} at most")
    if any(choice == "" for each in choices for choice in each):
        raise UsageError(
            f"sweep {quoted(text)}: an alternative is empty, expected such as factor=0.5|1.5"
        )
    return [
        edit_of(text, kind, dict(zip(values, chosen, strict=True))) for chosen in product(*choices)
    ]


def _counts(values: Mapping[str, str], architecture: Architecture) -> dict[str, int]:
    """Return name → number of what ``*`` stands for.

    Keys and values have heads of their own number.
    """
    geometry = architecture.geometry
    heads = geometry.n_head
    short = values.get("site", "").rpartition(".")[2].removeprefix("hook_")
    if OF_KEYS.issuperset(short.split("|")):
        heads = geometry.n_kv_head
    layers = geometry.n_layer
    return {"layer": layers, "depth": layers + 1, "head": heads}


def _choices(name: str, part: str, counts: Mapping[str, int]) -> Sequence[str]:
    if part == "*" and name in counts:
        return [str(number) for number in range(counts[name])]
    if name == "site" and part.startswith(EVERY_LAYER):  # blocks.*.attn.hook_z
        return [part.replace("*", str(layer), 1) for layer in range(counts["layer"])]
    bounds = re.fullmatch(rf"({NUMBER})-({NUMBER})", part) if name in COUNTED else None
    if bounds is None:
        return [part]
    first, last = int(bounds[1]), int(bounds[2])
    if not first <= last < first + MOST:
        raise UsageError(f"{name}={part}: expected the smaller number first, and {MOST:,} at most")
    return [str(number) for number in range(first, last + 1)]

"""Rotary positions of config.json, in one form for both of its spellings.

Until version 5, transformers wrote ``rope_theta``, ``rope_scaling`` and a fraction under several
names; since then ``rope_parameters``. Each version takes defaults for what it does not find under
its own names, without a word. So both are read here, and each is given the one that it reads.

The one form: ``{"type": "llama3", "theta": 500000.0, "fraction": 1.0, "factor": 8.0, …}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actlas.store.errors import UsageError, quoted

#: type → parameters that it must have, and those that it may have
TYPES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "default": ((), ()),
    "linear": (("factor",), ()),
    "llama3": (
        ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
        (),
    ),
    "yarn": (
        ("factor", "original_max_position_embeddings"),
        ("attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"),
    ),
}
#: types whose angles depend on the longest sentence of a batch
BY_LENGTH = ("dynamic", "longrope", "su")
FRACTIONS = ("partial_rotary_factor", "rotary_pct")
THETAS = ("rope_theta", "rotary_emb_base")
MOST = 1e12  # of a number


def read_rope(
    config: Mapping[str, Any], where: str, *, theta: float = 10_000.0, fraction: float = 1.0
) -> dict[str, Any]:
    """Return the rotary positions that ``config`` says, in the one form.

    theta, fraction: the family's own, where the file has none. Raises UsageError for a type that is
    unknown, or depends on the longest sentence of a batch, and for spellings that disagree.
    """
    old = _mapping(config, "rope_scaling", where)
    new = _mapping(config, "rope_parameters", where)
    given = {**old, **new}
    for name in old.keys() & new.keys():
        _same(name, old[name], new[name], where)
    kind = given.pop("rope_type", None) or given.pop("type", None) or "default"
    given.pop("type", None)
    _check_type(kind, where)
    theta = _first(config, given, THETAS, theta, where)
    fraction = _first(config, given, FRACTIONS, fraction, where)
    if fraction > 1:
        raise UsageError(f"{where}: rotary fraction is {fraction}, expected 1 at most")
    found = {"type": kind, "theta": theta, "fraction": fraction}
    return found | _parameters(kind, given, config, where)


def write_rope(
    rope: Mapping[str, Any], *, modern: bool, theta: str = "rope_theta", fraction: str | None = None
) -> dict[str, Any]:
    """Return the fields of a configuration that says ``rope``.

    modern: in the spelling since version 5. theta, fraction: names in the one before; None where
    that has no fraction.
    """
    parameters = {name: rope[name] for name in rope.keys() - {"type", "theta", "fraction"}}
    if modern:
        whole = {"rope_type": rope["type"], "rope_theta": rope["theta"], **parameters}
        if fraction is not None:
            whole["partial_rotary_factor"] = rope["fraction"]
        return {"rope_parameters": whole}
    scaling = None if rope["type"] == "default" else {"rope_type": rope["type"], **parameters}
    found: dict[str, Any] = {theta: rope["theta"], "rope_scaling": scaling}
    return found if fraction is None else {**found, fraction: rope["fraction"]}


def _mapping(config: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    value = config.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"{where}: {name} is {quoted(repr(value))}, expected an object")
    return dict(value)


def _check_type(kind: object, where: str) -> None:
    if kind in BY_LENGTH:
        raise UsageError(
            f"{where}: rotary positions of type {quoted(kind)} depend on the longest sentence of a "
            "batch, so a sentence has no activations of its own: give a model without them"
        )
    if kind not in TYPES:
        raise UsageError(
            f"{where}: rotary positions have type {quoted(kind)}, expected one of "
            f"{', '.join(TYPES)}"
        )


def _first(
    config: Mapping[str, Any],
    given: dict[str, Any],
    names: tuple[str, ...],
    default: float,
    where: str,
) -> float:
    """Return the number under the first of ``names``, in the file or in its rotary part."""
    found: list[tuple[str, float]] = []
    for name in names:
        for value in (given.pop(name, None), config.get(name)):
            if value is not None:
                found.append((name, _number(name, value, where)))
    for name, value in found[1:]:
        _same(name, found[0][1], value, where)
    return found[0][1] if found else default


def _parameters(
    kind: str, given: dict[str, Any], config: Mapping[str, Any], where: str
) -> dict[str, Any]:
    needed, allowed = TYPES[kind]
    original = "original_max_position_embeddings"
    if original in needed and given.get(original) is None:
        given[original] = config.get(original, config.get("max_position_embeddings"))
    given = {name: value for name, value in given.items() if value is not None}
    if kind == "default":
        given.pop(original, None)
    if missing := [name for name in needed if name not in given]:
        raise UsageError(f"{where}: rotary positions of type {kind} lack {missing[0]}")
    if more := sorted(given.keys() - {*needed, *allowed}):
        raise UsageError(f"{where}: rotary positions of type {kind} have no {quoted(more[0])}")
    return {
        name: value if isinstance(value, bool) else _number(name, value, where)
        for name, value in sorted(given.items())
    }


def _number(name: str, value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < MOST:
        raise UsageError(
            f"{where}: {name} is {quoted(repr(value))}, expected a number above 0, below {MOST:g}"
        )
    return int(value) if name.startswith("original_max") else float(value)


def _same(name: str, one: object, other: object, where: str) -> None:
    if one != other:
        raise UsageError(
            f"{where}: {name} is {quoted(repr(one))} in one place and {quoted(repr(other))} in "
            "another: remove the wrong one"
        )

"""Tables of a TOML file as frozen dataclasses.

Each key is a field. What is unknown, or not of its type, is refused.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from actlas.store.errors import MOST_SHOWN, UsageError, unknown

T = TypeVar("T")

NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def filled(kind: type[T], table: object, where: str, hidden: Collection[str] = ()) -> T:
    """Return the dataclass ``kind`` with the keys of ``table``.

    where: what errors call the table, such as ``her.toml [analyses.cosine]``. hidden: fields that a
    table does not have. Raises UsageError for unknown keys, the nearest known one named, for keys
    that lack, for values of another type, and for what ``kind`` itself refuses.
    """
    assert dataclasses.is_dataclass(kind)
    fields = {}
    for field in dataclasses.fields(kind):
        if field.name not in hidden:
            fields[field.name] = field
    given = entries(table, where)
    for key in given:
        if key not in fields:
            raise UsageError(f"{where}: {unknown('key', key, fields)}")
    for name, field in fields.items():
        if (
            field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
            and name not in given
        ):
            raise UsageError(f"{where} lacks the key {name!r}")
    hints = get_type_hints(kind)
    values = {key: typed(value, hints[key], f"{where} {key}") for key, value in given.items()}
    try:
        return kind(**values)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def entries(table: object, where: str) -> Mapping[str, object]:
    """Return ``table``; raises UsageError where it is none."""
    if not isinstance(table, dict):
        raise UsageError(f"{where} is {shown(table)}, expected a table")
    return table


def typed(value: object, hint: Any, where: str) -> Any:
    """Return ``value`` as the type ``hint`` has it, lists as tuples.

    Raises UsageError where it is none of that type.
    """
    if get_origin(hint) in (Union, types.UnionType):
        return _one_of(value, hint, where)
    if get_origin(hint) is tuple and isinstance(value, list):
        # tuple[T, ...] is the only form of tuple in these dataclasses
        each, rest = get_args(hint)
        assert rest is Ellipsis
        return tuple(typed(item, each, f"{where}[{number}]") for number, item in enumerate(value))
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise UsageError(f"{where} is {shown(value)}, expected {' or '.join(get_args(hint))}")
        return value
    if get_origin(hint) is dict:
        return entries(value, where)
    if hint is float and type(value) is int:
        return float(value)
    # a bool is an int to Python, not to a reader
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise UsageError(f"{where} is {shown(value)}, expected {meaning(hint)}")


def _one_of(value: object, hint: Any, where: str) -> Any:
    """Return ``value`` as the first type of a union that has it."""
    # in the order of the annotation: `int | float` keeps 1 a whole number
    for choice in get_args(hint):
        try:
            return typed(value, choice, where)
        except UsageError:
            if isinstance(value, list) and get_origin(choice) is tuple:
                raise  # it says which item is wrong
    raise UsageError(f"{where} is {shown(value)}, expected {meaning(hint)}")


def meaning(hint: Any) -> str:
    """Return a type in words."""
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(
            meaning(choice) for choice in get_args(hint) if choice is not types.NoneType
        )
    if get_origin(hint) is tuple:
        return f"a list, each {meaning(get_args(hint)[0])}"
    return NAMES.get(hint, str(hint))


def shown(value: object) -> str:
    """Return a value of a TOML file for an error."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else _short(value)


def _short(value: object) -> str:
    """Return a value's own form, at most 100 characters of it.

    Python prints no number of many digits.
    """
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"

"""What config.json says that decides what a model computes: the fields of its family, checked.

The model is built from these fields alone, so nothing that the identity of a run leaves out can
change its numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from actlas.pipeline.models.family import ConfigRules
from actlas.store.errors import UsageError, quoted
from actlas.store.format.schema import canonical
from actlas.store.io.safe_open import read_input

LARGEST_SIZE = 1 << 31
#: those without weights of their own, each compared with plain NumPy in the tests
ACTIVATIONS = (
    *("gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python"),
    *("gelu_python_tanh", "gelu_pytorch_tanh", "quick_gelu", "relu", "relu2", "relu6"),
    *("hardswish", "laplace", "leaky_relu", "linear", "mish", "sigmoid", "silu", "swish", "tanh"),
)
LARGEST_CONFIG = 4 << 20  # bytes


def read_config(path: Path) -> Any:
    """Return the content of a config.json.

    Raises FileNotFoundError, and UsageError for what is no JSON of one.
    """
    try:
        return json.loads(read_input(path, LARGEST_CONFIG), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON ({error})") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number of JSON")


def effective(config: Mapping[str, Any], rules: ConfigRules, where: str) -> dict[str, Any]:
    """Return the fields of ``rules``, defaults filled in.

    Configurations that compute the same have one form.

    where: how the file is called in errors. Raises UsageError for a field that is impossible or not
    supported.
    """
    config = rules.read(config, where)
    for name in rules.refused:
        if config.get(name):
            raise UsageError(f"{where}: {name} is not supported: give the model as it was before")
    for alias, name in rules.aliases.items():
        if alias in config and config.get(name, config[alias]) != config[alias]:
            one, other = shown(config[name]), shown(config[alias])
            raise UsageError(f"{where}: {name} is {one}, but {alias}, its other name, {other}")
    given = {rules.aliases.get(name, name): value for name, value in config.items()}
    fields: dict[str, Any] = {}
    for name, default in rules.defaults.items():
        fields[name] = _check(name, given.get(name, default), rules, where)
    rules.finish(fields, where)
    return fields


def config_digest(fields: Mapping[str, Any]) -> str:
    """Return the SHA-256 of ``effective`` fields."""
    return hashlib.sha256(canonical(dict(fields))).hexdigest()


def shown(value: object) -> str:
    """Return a value for a message: text in quotes, anything else as Python writes it, in short."""
    return quoted(value) if isinstance(value, str) else quoted(repr(value))[1:-1]


def _check(name: str, value: object, rules: ConfigRules, where: str) -> Any:
    """Return the value of a field in the form that the identity has.

    Raises UsageError for an impossible one.
    """
    default = rules.defaults[name]
    if name in rules.kinds:
        try:
            return rules.kinds[name](value)
        except ValueError as error:
            raise UsageError(f"{where}: {name} is {shown(value)}, expected {error}") from error
    if isinstance(default, bool):
        good, wanted = isinstance(value, bool), "true or false"
    elif isinstance(default, str):
        good = isinstance(value, str) and value in ACTIVATIONS
        wanted = f"one of {', '.join(ACTIVATIONS)}"
    elif isinstance(default, float):
        least, most = rules.ranges[name]
        good = type(value) in (int, float) and least <= value <= most  # type: ignore[operator]
        wanted = f"a number from {least:g} to {most:g}"
        value = abs(float(value)) if good else value  # type: ignore[arg-type]  # 0 and -0.0 are 0.0
    else:
        good = (value is None and default is None) or (
            type(value) is int and 0 < value <= LARGEST_SIZE
        )
        wanted = f"a whole number from 1 to {LARGEST_SIZE}"
    if not good:
        raise UsageError(f"{where}: {name} is {shown(value)}, expected {wanted}")
    return value

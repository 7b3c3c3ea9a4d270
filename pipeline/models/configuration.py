"""What config.json says that decides what a model computes: those fields, checked, and the sizes that follow from them.

The model is built from these fields alone, so nothing that the identity of a run leaves out can change its numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from actlas.store.errors import UsageError, quoted
from actlas.store.format.schema import canonical
from actlas.store.io.safe_open import read_input

if TYPE_CHECKING:
    from transformers import GPT2Config

FAMILY = "gpt2"

#: the fields of config.json that decide what the model computes, with the defaults of the GPT-2 family
CONFIG: Mapping[str, object] = {
    "activation_function": "gelu_new",
    "attn_pdrop": 0.1,
    "embd_pdrop": 0.1,
    "layer_norm_epsilon": 1e-5,
    "n_embd": 768,
    "n_head": 12,
    "n_inner": None,
    "n_layer": 12,
    "n_positions": 1024,
    "reorder_and_upcast_attn": False,
    "resid_pdrop": 0.1,
    "scale_attn_by_inverse_layer_idx": False,
    "scale_attn_weights": True,
    "tie_word_embeddings": True,
    "vocab_size": 50257,
}
DROPOUT_RATES = ("attn_pdrop", "embd_pdrop", "resid_pdrop")
RANGES: Mapping[str, tuple[float, float]] = {
    "layer_norm_epsilon": (0.0, 1.0),
    **dict.fromkeys(DROPOUT_RATES, (0.0, 1.0)),
}
LARGEST_SIZE = 1 << 31
#: those without weights of their own, each compared with plain NumPy in the tests
ACTIVATIONS = (
    *("gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python"),
    *("gelu_python_tanh", "gelu_pytorch_tanh", "quick_gelu", "relu", "relu2", "relu6"),
    *("hardswish", "laplace", "leaky_relu", "linear", "mish", "sigmoid", "silu", "swish", "tanh"),
)
LARGEST_CONFIG = 4 << 20  # bytes
#: transformers takes these names for the same fields
ALIASES: Mapping[str, str] = {
    "hidden_size": "n_embd",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}
#: fields that change the weights themselves while they are loaded
UNSUPPORTED = ("pruned_heads", "quantization_config")


@dataclass(frozen=True)
class Geometry:
    """Sizes of a model, named as in the store's dims."""

    n_layer: int
    n_head: int
    d_model: int
    d_head: int
    d_mlp: int
    positions: int
    vocabulary: int

    @property
    def sizes(self) -> dict[str, int]:
        """Size of every dim but ``token``."""
        return {
            "layer": self.n_layer,
            "depth": self.n_layer + 1,
            "head": self.n_head,
            "d_head": self.d_head,
            "d_model": self.d_model,
            "d_mlp": self.d_mlp,
        }


def read_config(path: Path) -> Any:
    """Return the content of a config.json; raises FileNotFoundError, and UsageError for what is no JSON of one."""
    try:
        return json.loads(read_input(path, LARGEST_CONFIG), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON ({error})") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def effective(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the fields of CONFIG, defaults filled in, in one form for all configurations that compute the same.

    where: how the file is called in errors. Raises UsageError for a field that is impossible or not supported.
    """
    for name in UNSUPPORTED:
        if config.get(name):
            raise UsageError(f"{where}: {name} is not supported: give the model as it was before")
    given = {ALIASES.get(name, name): value for name, value in config.items()}
    fields: dict[str, Any] = {name: given.get(name, default) for name, default in CONFIG.items()}
    for alias, name in ALIASES.items():
        if alias in config and config.get(name, config[alias]) != config[alias]:
            values = shown(config[name]), shown(config[alias])
            raise UsageError(
                f"{where}: {name} is {values[0]}, but {alias}, its other name, {values[1]}"
            )
    fields = {name: _check(name, value, where) for name, value in fields.items()}
    if fields["n_embd"] % fields["n_head"]:
        raise UsageError(
            f"{where}: n_embd {fields['n_embd']} is no multiple of n_head {fields['n_head']}"
        )
    if fields["n_inner"] == 4 * fields["n_embd"]:
        fields["n_inner"] = None  # written out or not, it is the same model
    return fields


def config_digest(fields: Mapping[str, Any]) -> str:
    """Return the SHA-256 of ``effective`` fields."""
    return hashlib.sha256(canonical(dict(fields))).hexdigest()


def transformers_config(fields: Mapping[str, Any], attention: str) -> GPT2Config:
    """Return the configuration that a model of ``effective`` fields is built from: nothing else is in it."""
    from transformers import GPT2Config

    # ids of special tokens, which nothing computes with, are warned of where the vocabulary is small
    config = GPT2Config(**fields, bos_token_id=None, eos_token_id=None)
    config._attn_implementation = attention
    return config


def geometry(fields: Mapping[str, Any]) -> Geometry:
    """Return the sizes that ``effective`` fields give."""
    d_model, n_head = fields["n_embd"], fields["n_head"]
    return Geometry(
        n_layer=fields["n_layer"],
        n_head=n_head,
        d_model=d_model,
        d_head=d_model // n_head,
        d_mlp=fields["n_inner"] or 4 * d_model,
        positions=fields["n_positions"],
        vocabulary=fields["vocab_size"],
    )


def shown(value: object) -> str:
    """Return a value for a message: text in quotes, anything else as Python writes it, in short."""
    return quoted(value) if isinstance(value, str) else quoted(repr(value))[1:-1]


def _check(name: str, value: object, where: str) -> Any:
    """Return the value of a field in the form that the identity has; raises UsageError for an impossible one."""
    default = CONFIG[name]
    if isinstance(default, bool):
        good, wanted = isinstance(value, bool), "true or false"
    elif isinstance(default, str):
        good = isinstance(value, str) and value in ACTIVATIONS
        wanted = f"one of {', '.join(ACTIVATIONS)}"
    elif isinstance(default, float):
        least, most = RANGES[name]
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

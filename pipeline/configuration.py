"""What config.json says that decides what a model computes: those fields, checked, and the sizes that follow from them.

The model is built from these fields alone, so nothing that the identity of a run leaves out can change its numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from actlas.store.errors import UsageError

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
            raise UsageError(f"{where}: {name} is {config[name]!r}, but {alias}, its other name, {config[alias]!r}")
    for name, value in fields.items():
        _check(name, value, where)
    if fields["n_embd"] % fields["n_head"]:
        raise UsageError(f"{where}: n_embd {fields['n_embd']} is no multiple of n_head {fields['n_head']}")
    if fields["n_inner"] == 4 * fields["n_embd"]:
        fields["n_inner"] = None  # written out or not, it is the same model
    return fields


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


def _check(name: str, value: object, where: str) -> None:
    default = CONFIG[name]
    if isinstance(default, bool | str):
        good, wanted = isinstance(value, type(default)), "true or false" if isinstance(default, bool) else "a name"
    elif isinstance(default, float):
        good, wanted = isinstance(value, int | float) and not isinstance(value, bool), "a number"
    else:
        good = (value is None and default is None) or (type(value) is int and value > 0)
        wanted = "a whole number above 0"
    if not good:
        raise UsageError(f"{where}: {name} is {value!r}, wanted {wanted}")

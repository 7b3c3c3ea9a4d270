"""Gemma 3: the text model, and the text part of those that see images.

Layers with a window turn queries and keys by other angles than those without. No version of
transformers follows its ``attn_logit_softcapping``, and no published file sets it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from actlas.pipeline.models.families.fields import FULL, REFUSED, SLIDING, check_layers
from actlas.pipeline.models.families.gemma.gemma import AROUND_ZERO
from actlas.pipeline.models.families.gemma.gemma2 import CAP, KINDS, NORMS, OWN, POST_NORM_ROWS
from actlas.pipeline.models.families.llama import decoder as base
from actlas.pipeline.models.families.llama.decoder import ATTENTION, shapes
from actlas.pipeline.models.family import Fields, Row, Shapes
from actlas.pipeline.models.rope import read_rope, write_rope
from actlas.store.errors import UsageError

GLOBAL, LOCAL = 1_000_000.0, 10_000.0  # bases of the angles
#: how the tensors of the text part are called in files of a model that sees images, by version
WRAPPED = {
    "language_model.model.": "model.",
    "model.language_model.": "model.",
    "language_model.lm_head.": "lm_head.",
}


def _read(config: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return config.json with angles for each kind of layer, in both spellings."""
    given = config.get("rope_parameters") or {}
    if isinstance(given, dict) and given.keys() & {FULL, SLIDING}:
        parts = [given.get(kind) or {} for kind in (FULL, SLIDING)]
        rest = {name: value for name, value in config.items() if name != "rope_parameters"}
        wide, local = ({**rest, "rope_parameters": part} for part in parts)
        local = {name: value for name, value in local.items() if name not in ("rope_theta",)}
    else:
        wide = dict(config)
        local = {"rope_theta": config.get("rope_local_base_freq")}
    return {
        **config,
        "rope": read_rope(wide, where, theta=GLOBAL),
        "rope_local": read_rope(local, where, theta=LOCAL),
    }


def _read_text_part(config: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    text = config.get("text_config", config)
    if not isinstance(text, dict):
        raise UsageError(f"{where}: text_config is no object")
    whole = {name: config[name] for name in REFUSED if name in config}
    return _read({**text, **whole}, where)


def _finish(fields: dict[str, Any], where: str) -> None:
    base.finish(fields, where)
    every = fields.pop("sliding_window_pattern")
    check_layers(fields, where, lambda layer: (layer + 1) % every != 0)


def _write(fields: Fields, modern: bool) -> Mapping[str, Any]:
    found = {name: value for name, value in fields.items() if name not in ("rope", "rope_local")}
    wide, local = fields["rope"], fields["rope_local"]
    if modern:
        parts = {FULL: wide, SLIDING: local}
        ropes = {kind: write_rope(rope, modern=True) for kind, rope in parts.items()}
        return {
            **found,
            "rope_parameters": {kind: rope["rope_parameters"] for kind, rope in ropes.items()},
        }
    return {
        **found,
        **write_rope(wide, modern=False),
        "rope_local_base_freq": local["theta"],
    }


def _plain_rope(value: Any) -> Any:
    if value["type"] != "default":
        raise ValueError("the default type in layers with a window")
    return base.whole_rope(value)


def _shapes(fields: Fields) -> Shapes:
    return shapes(fields, NORMS, ATTENTION if fields["attention_bias"] else (), qk_norm=True)


def _unwrapped(name: str) -> str:
    for prefix, own in WRAPPED.items():
        if name.startswith(prefix):
            return own + name.removeprefix(prefix)
    return name


_CONFIG = base.config_rules(
    {
        **{name: value for name, value in OWN.items() if name != "attn_logit_softcapping"},
        "final_logit_softcapping": None,
        "max_position_embeddings": 131072,
        "rope_local": None,
        "sliding_window_pattern": 6,
        "vocab_size": 262208,
    },
    without=("hidden_act",),
    finish=_finish,
    read=_read,
    write=_write,
    kinds={**KINDS, "rope_local": _plain_rope},
)

GEMMA3_TEXT = base.decoder(
    "gemma3_text",
    "Gemma3",
    _CONFIG,
    base.weight_rules("Gemma 3", _shapes, _unwrapped),
    {
        **POST_NORM_ROWS,
        "q_normed": Row("{block}.self_attn.q_norm", "out", form="heads first"),
        "k_normed": Row("{block}.self_attn.k_norm", "out", form="heads first"),
    },
    config_class="Gemma3TextConfig",
    cap=CAP,
    readout=AROUND_ZERO,
)
#: its text part is loaded as a text model: the same numbers, and the same run
GEMMA3 = replace(
    GEMMA3_TEXT,
    model_type="gemma3",
    loaded_type="gemma3_text",
    config=replace(_CONFIG, read=_read_text_part),
)

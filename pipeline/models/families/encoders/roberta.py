"""RoBERTa: BERT whose positions are counted from behind the padding token's id."""

from __future__ import annotations

from typing import Any

from actlas.pipeline.models.families.encoders.bert import config_rules, encoder, geometry
from actlas.pipeline.models.family import Fields, ReadoutRules
from actlas.pipeline.models.geometry import Geometry


def _geometry(fields: Fields) -> Geometry:
    return geometry(fields, reserved=fields["pad_token_id"] + 1)


_OWN: dict[str, Any] = {"pad_token_id": 1, "vocab_size": 50265}

_HEAD = ReadoutRules(
    dense="lm_head.dense",
    norm="lm_head.layer_norm",
    bias="lm_head.bias",
    decoder="lm_head.decoder.weight",
    activation="gelu",
)

ROBERTA = encoder(
    "roberta", "Roberta", config_rules(_OWN), "RoBERTa", sizes=_geometry, readout=_HEAD
)

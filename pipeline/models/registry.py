"""The families of models that can be read: a line each."""

from __future__ import annotations

from collections.abc import Mapping

from actlas.pipeline.models.families.encoders.bert import BERT
from actlas.pipeline.models.families.encoders.roberta import ROBERTA
from actlas.pipeline.models.families.gemma.gemma import GEMMA
from actlas.pipeline.models.families.gemma.gemma2 import GEMMA2
from actlas.pipeline.models.families.gemma.gemma3 import GEMMA3, GEMMA3_TEXT
from actlas.pipeline.models.families.gpt.gpt2 import GPT2
from actlas.pipeline.models.families.gpt.gpt_neo import GPT_NEO
from actlas.pipeline.models.families.gpt.gpt_neox import GPT_NEOX
from actlas.pipeline.models.families.gpt.gptj import GPTJ
from actlas.pipeline.models.families.gpt.phi import PHI
from actlas.pipeline.models.families.llama.llama import LLAMA
from actlas.pipeline.models.families.llama.mistral import MISTRAL
from actlas.pipeline.models.families.llama.olmo2 import OLMO2
from actlas.pipeline.models.families.llama.phi3 import PHI3
from actlas.pipeline.models.families.llama.qwen2 import QWEN2
from actlas.pipeline.models.families.llama.qwen3 import QWEN3
from actlas.pipeline.models.family import Family

_ALL = (
    *(GPT2, GPT_NEO, GPT_NEOX, GPTJ, PHI),
    *(LLAMA, MISTRAL, QWEN2, QWEN3, PHI3, OLMO2),
    *(GEMMA, GEMMA2, GEMMA3_TEXT, GEMMA3),
    *(BERT, ROBERTA),
)
FAMILIES: Mapping[str, Family] = {family.model_type: family for family in _ALL}


def family_of(model_type: object) -> Family | None:
    """Return the family of a ``model_type`` of config.json; None for one that is not supported."""
    return FAMILIES.get(model_type) if isinstance(model_type, str) else None

"""What a family of models is.

Where its sites are, what of config.json decides, what its weights are called.

One ``Family`` per ``model_type``, each in a file of its own; ``registry`` finds it. Nothing outside
this folder names a module path, a field of a configuration or a class of transformers of one
architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from actlas.pipeline.models.geometry import Geometry
from actlas.pipeline.models.picks import WHOLE, Pick

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

    Model: TypeAlias = PreTrainedModel

Fields = Mapping[str, Any]  # effective fields of a configuration
Law = Literal["add", "parallel", "post"]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Row:
    """Where a site of a family is.

    ``{block}`` stands for the path of its block, the rest is relative to the model.
    """

    module: str
    side: Literal["in", "out"]  # the first positional argument, or the output
    pick: Pick = WHOLE
    element: int = 0  # of an output that is a tuple
    editable: bool = True  # False: here a change would not do what it says
    copy: bool = False  # the model changes the tensor in place afterwards


@dataclass(frozen=True)
class ConfigRules:
    """The fields of config.json that decide what a family computes."""

    defaults: Mapping[str, object]  # a text is the name of an activation function
    aliases: Mapping[str, str]  # other name → name
    ranges: Mapping[str, tuple[float, float]]  # of every field whose default is a float
    refused: tuple[str, ...]  # fields that must be empty
    dropouts: tuple[str, ...]  # names of the rates
    finish: Callable[
        [dict[str, Any], str], None
    ]  # checks relations, brings equal models to one form


@dataclass(frozen=True)
class WeightRules:
    """What the tensors of a family are called in files. Names are without ``prefix`` everywhere."""

    title: str  # of the family, in messages
    prefix: str
    head: str
    embedding: str  # which a tied head is
    ignored: tuple[str, ...]  # endings of tensors that are no weights
    computing: tuple[
        str, ...
    ]  # beginnings of tensors that take part; others belong to unused heads
    block: str  # pattern of a tensor of a block, its number in a group
    layers: str  # field with the number of blocks
    always: tuple[str, ...]  # tensors by which another prefix is recognised
    shapes: Callable[[Fields], Shapes]


@dataclass(frozen=True)
class Family:
    """An architecture: one per ``model_type``."""

    model_type: str
    model_class: str  # of transformers, with its head
    config_class: str
    base: str  # path of the part that gives the residual stream
    blocks: str  # path of the list of blocks
    last: Row  # resid[n]: what the final norm reads, or the output of the last block
    law: (
        Law  # add: attention, then MLP; parallel: both read one input; post: a norm behind each sum
    )
    rows: Mapping[str, Row]  # a site that is not here is not a site of this family
    config: ConfigRules
    weights: WeightRules
    sizes: Callable[[Fields], Geometry]
    check_attention: Callable[[Fields, str, torch.dtype], None]  # raises UsageError
    attention: Literal["any", "eager", "sdpa"] = "any"
    causal: bool = (
        True  # a token never sees what follows it: no mask is needed, and there is a loss
    )
    changes: Callable[[Fields], Mapping[str, Any]] = field(
        default=lambda _: {}
    )  # replaced, by config

    def class_of_model(self) -> Any:
        """Return the class of transformers, imported now: never one of remote code."""
        import transformers

        return getattr(transformers, self.model_class)

    def configuration(self, fields: Fields, attention: str) -> PretrainedConfig:
        """Return the configuration that a model of effective ``fields`` is built from.

        Nothing else is in it.
        """
        import transformers

        # ids of special tokens, which nothing computes with, are warned of where the vocabulary is
        # small
        kind = getattr(transformers, self.config_class)
        config: PretrainedConfig = kind(**fields, bos_token_id=None, eos_token_id=None)
        config._attn_implementation = attention
        return config

    def run(self, model: Model, token_ids: torch.Tensor) -> None:
        """Run ``model`` as far as its final norm on ``token_ids`` (batch, position)."""
        model.get_submodule(self.base)(input_ids=token_ids, use_cache=False)

    def logits(self, model: Model, final_norm: torch.Tensor) -> torch.Tensor:
        """Return logits (token, vocabulary) of rows of ``final_norm``."""
        logits: torch.Tensor = model.get_output_embeddings()(final_norm)
        return logits

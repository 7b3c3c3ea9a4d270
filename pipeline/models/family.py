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
    #: the first positional argument, the output (its first element where it is a tuple), or what a
    #: module hands to the implementation of attention
    side: Literal["in", "out", "attention"]
    pick: Pick = WHOLE
    #: of a tensor: (batch, position, column); (batch, position, head, column); or with the head
    #: before the position
    form: Literal["flat", "heads", "heads first"] = "flat"
    part: Literal["", "query", "key", "pattern"] = ""  # of what attention is given, or makes
    #: how an edit reaches all who read the site: here; here, but no single head, because a norm
    #: over all of them follows; nowhere; or through what attention adds
    edit: Literal["here", "whole", "no", "attn_out"] = "here"
    copy: bool = False  # the model changes the tensor in place afterwards


@dataclass(frozen=True)
class ConfigRules:
    """The fields of config.json that decide what a family computes."""

    defaults: Mapping[str, object]  # a text is the name of an activation function
    aliases: Mapping[str, str]  # other name → name
    ranges: Mapping[str, tuple[float, float]]  # of every field whose default is a float
    refused: tuple[str, ...]  # fields that must be empty
    dropouts: tuple[str, ...]  # names of the rates
    #: checks relations, brings equal models to one form
    finish: Callable[[dict[str, Any], str], None]
    #: field → what returns its value in one form, or raises ValueError with what is expected
    kinds: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    #: config.json, and how it is called → the same in the names of ``defaults``
    read: Callable[[Mapping[str, Any], str], Mapping[str, Any]] = lambda config, _: config
    #: effective fields, and whether transformers is of version 5 → arguments of its configuration
    write: Callable[[Fields, bool], Mapping[str, Any]] = lambda fields, _: fields


@dataclass(frozen=True)
class WeightRules:
    """What the tensors of a family are called in files. Names are without ``prefix`` everywhere."""

    title: str  # of the family, in messages
    prefix: str
    head: str  # its matrix; empty where the head is left out
    embedding: str  # which a tied head is
    ignored: tuple[str, ...]  # endings of tensors that are no weights
    #: beginnings of tensors that take part; others belong to unused heads
    computing: tuple[str, ...]
    block: str  # pattern of a tensor of a block, its number in a group
    layers: str  # field with the number of blocks
    always: tuple[str, ...]  # tensors by which another prefix is recognised
    shapes: Callable[[Fields], Shapes]
    renamed: Callable[[str], str] = str  # a name of an older or a wrapping model → its own
    #: its own name → name in the installed transformers' state
    in_model: Callable[[str], str] | None = None


@dataclass(frozen=True)
class ReadoutRules:
    """What a readout takes beside the sites and tensors of a family."""

    gain_offset: float = 0.0  # added to the gain of the final norm: 1 where that is kept around 0
    inputs_first: bool = False  # matrices are (input, output) in files
    #: of a head that names masked tokens: a linear map, a norm, the bias of the unembedding, and
    #: the unembedding where it is not the embedding; without endings but for the last two
    dense: str = ""
    norm: str = ""
    bias: str = ""
    decoder: str = ""
    activation: str = ""  # behind ``dense``: a field of the configuration, or the function itself


@dataclass(frozen=True)
class Family:
    """An architecture: one per ``model_type``."""

    model_type: str
    model_class: str  # of transformers, with its head
    config_class: str
    base: str  # path of the part that gives the residual stream
    blocks: str  # path of the list of blocks
    last: Row  # resid[n]: what the final norm reads, or the output of the last block
    #: add: attention, then MLP; parallel: both read one input; post: a norm behind each sum
    law: Law
    rows: Mapping[str, Row]  # a site that is not here is not a site of this family
    config: ConfigRules
    weights: WeightRules
    sizes: Callable[[Fields], Geometry]
    #: raises UsageError where the installed transformers does not follow the fields
    check_attention: Callable[[Fields, str, torch.dtype], None] = lambda *_: None
    attention: Literal["any", "eager", "sdpa"] = "any"
    #: a token never sees what follows it: no mask is needed, and there is a loss
    causal: bool = True
    #: of law ``post``: site → module of the norm behind the sum, whose output it is
    norms: Mapping[str, str] = field(default_factory=dict)
    readout: ReadoutRules = field(default_factory=ReadoutRules)
    loaded_type: str = ""  # ``model_type`` of what is loaded, where it is another
    cap: str | None = None  # field of the configuration with the soft cap of the logits
    arguments: Mapping[str, object] = field(default_factory=dict)  # of the class, beside a config
    #: what is replaced, by effective fields
    changes: Callable[[Fields], Mapping[str, Any]] = lambda _: {}

    def __post_init__(self) -> None:
        """Fill in the type that is loaded."""
        object.__setattr__(self, "loaded_type", self.loaded_type or self.model_type)

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
        modern = not transformers.__version__.startswith("4.")
        given = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
        config: PretrainedConfig = kind(**{**given, **self.config.write(fields, modern)})
        config._attn_implementation = attention
        return config

    def run(self, model: Model, token_ids: torch.Tensor, real: torch.Tensor | None = None) -> None:
        """Run ``model`` as far as its final norm on ``token_ids`` (batch, position).

        real: which positions are tokens and not padding, of the same shape; all where None. A
        causal model on sentences that are padded on the right does not need it.
        """
        base = model.get_submodule(self.base)
        if self.causal:
            base(input_ids=token_ids, use_cache=False)
        else:
            base(input_ids=token_ids, attention_mask=None if real is None else real.long())

    def vocabulary(self, model: Model) -> int:
        """Return how many words the head of ``model`` tells apart."""
        return int(model.get_output_embeddings().weight.shape[0])

    def logits(
        self, model: Model, final_norm: torch.Tensor, words: slice = slice(None)
    ) -> torch.Tensor:
        """Return new logits (token, word) of rows of ``final_norm``: of all words, or of some."""
        import torch

        head = model.get_output_embeddings()
        bias = None if head.bias is None else head.bias[words]
        logits: torch.Tensor = torch.nn.functional.linear(final_norm, head.weight[words], bias)
        cap = getattr(model.config, self.cap) if self.cap else None
        return logits if cap is None else (logits / cap).tanh() * cap

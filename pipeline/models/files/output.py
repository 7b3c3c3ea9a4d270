"""The end of a model, and what its heads and MLPs write: how final norm and matrices are called.

Names of tensors are without the prefix, as ``WeightRules`` has them.
"""

from __future__ import annotations

from dataclasses import dataclass

from actlas.pipeline.models.architecture import Architecture
from actlas.pipeline.models.family import Family, Fields
from actlas.pipeline.models.files.weights import is_tied
from actlas.store.errors import UsageError

EPSILONS = ("layer_norm_epsilon", "layer_norm_eps", "rms_norm_eps")
#: of the function behind the linear map of a head of masked tokens, as a readout computes them
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")


@dataclass(frozen=True)
class OutputTensors:
    """What the end of a model is made of.

    ``centred``: whether its norm subtracts the mean; else it is an RMS norm.
    """

    norm: str  # of the final norm, without an ending
    centred: bool
    epsilon: float
    gain_offset: float
    unembed: tuple[str, ...]  # the first of these that is there
    unembed_bias: str | None
    cap: float | None
    dense: str | None = None  # of a head of masked tokens, without an ending
    activation: str = ""


def output_tensors(family: Family, fields: Fields) -> OutputTensors:
    """Return what the end of a model of effective ``fields`` is made of.

    Raises UsageError for one that a readout cannot compute.
    """
    rules, weights = family.readout, family.weights
    shapes = weights.shapes(fields)
    epsilon = next(float(fields[name]) for name in EPSILONS if name in fields)
    if not family.causal:
        activation = str(fields.get(rules.activation, rules.activation))
        if activation not in ACTIVATIONS:
            raise UsageError(
                f"the head of this {weights.title} has activation {activation!r}, "
                f"expected one of {', '.join(ACTIVATIONS)}"
            )
        names = (weights.embedding, rules.decoder)
        return OutputTensors(
            *(rules.norm, True, epsilon, 0.0, names, rules.bias, None),
            dense=rules.dense,
            activation=activation,
        )
    norm = family.rows["final_norm"].module.removeprefix(weights.prefix)
    tied = (weights.embedding, weights.head)  # a tied one may be in the file as the head alone
    bias = f"{weights.head.removesuffix('.weight')}.bias"
    cap = fields[family.cap] if family.cap else None
    return OutputTensors(
        norm,
        f"{norm}.bias" in shapes,
        epsilon,
        rules.gain_offset,
        tied if is_tied(fields) else (weights.head,),
        bias if bias in shapes else None,
        cap,
    )


def head_outputs(architecture: Architecture) -> list[str]:
    """Return the linear map that writes what the heads of each layer add, without an ending.

    Raises UsageError where a norm follows it, so that what attention adds is no sum over heads.
    """
    family = architecture.family
    module = family.rows["z"].module
    if family.rows["attn_out"].module != module:
        raise UsageError(
            f"what attention adds in {family.weights.title} is no sum over its heads: a norm "
            "follows them"
        )
    return _in_layers(module, architecture)


def _in_layers(module: str, architecture: Architecture) -> list[str]:
    """Return the names of a module of each layer, without an ending."""
    prefix = architecture.family.weights.prefix
    layers = range(architecture.geometry.n_layer)
    paths = (module.format(block=architecture.block(layer)) for layer in layers)
    return [path.removeprefix(prefix) for path in paths]


def neuron_outputs(architecture: Architecture) -> tuple[list[str], list[str]]:
    """Return the linear map that writes what the neurons of each layer add, without an ending.

    Beside it the RMS norm that follows, which is empty where none does.
    """
    rows = architecture.family.rows
    module, behind = rows["mlp_post"].module, rows["mlp_out"].module
    norms = [] if module == behind else _in_layers(behind, architecture)
    return _in_layers(module, architecture), norms

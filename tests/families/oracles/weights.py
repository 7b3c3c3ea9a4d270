"""The weights of a file, in float64, and the linear maps and norms that read them by name."""

from dataclasses import dataclass

import numpy as np

from tests.oracle import layer_norm

# what stands before the names of the base model, longest first
BASES = (
    "model.language_model.",
    "language_model.model.",
    "gpt_neox.",
    "transformer.",
    "roberta.",
    "bert.",
    "model.",
)


@dataclass(frozen=True)
class Weights:
    """Arrays by name; linear weights are stored (output, input): y = x Wᵀ + b."""

    arrays: dict[str, np.ndarray]
    prefix: str = ""

    def at(self, path):
        return Weights(self.arrays, f"{self.prefix}{path}.")

    def __contains__(self, name):
        return self.prefix + name in self.arrays

    def __getitem__(self, name):
        return self.arrays[self.prefix + name]

    def linear(self, name, x):
        product = x @ self[f"{name}.weight"].T
        return product + self[f"{name}.bias"] if f"{name}.bias" in self else product

    def layer_norm(self, name, x, epsilon):
        # files of 2018 say gamma and beta
        names = ("weight", "bias") if f"{name}.weight" in self else ("gamma", "beta")
        scale, shift = (self[f"{name}.{part}"] for part in names)
        return layer_norm(x, scale, shift, epsilon)

    def rms_norm(self, name, x, epsilon, offset=0.0):
        """offset: 1 in the Gemma types, whose weights are stored around 0."""
        root = np.sqrt((x**2).mean(-1, keepdims=True) + epsilon)
        return x / root * (offset + self[f"{name}.weight"])


def read(weights):
    """Return the weights of a file, names without what stands before the base model's.

    Those that were read already stay as they are.
    """
    if isinstance(weights, Weights):
        return weights
    arrays = {}
    for name, value in weights.items():
        base = next((base for base in BASES if name.startswith(base)), "")
        arrays[name.removeprefix(base)] = np.asarray(value, dtype=np.float64)
    return Weights(arrays)

"""Results of random numbers in the shapes that studies return, at any size, without a run.

Benchmarks and tests of what is shown use them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

PAIRS = ("QQ", "KK", "VV", "QK", "QV", "KV")
KINDS = ("previous", "first", "current", "duplicate", "induction", "entropy", "distance")
STATISTICS = ("mean", "lower quartile", "median", "upper quartile", "largest")
WORDS = (" the", " her", "\n", "</script>", " gave")


@dataclass(frozen=True)
class Sizes:
    """How large a result is; the default is that of the demo."""

    layers: int = 8
    heads: int = 6
    groups: tuple[str, ...] = ("target", "control")
    variants: int = 4
    tokens: int = 40

    def array(self, *dims: str, low: float = 0.01) -> xr.DataArray:
        """Return random numbers between ``low`` and 1 over dims that have their sizes here."""
        fixed = {"bin": 100, "statistic": 5, "choice": 5, "bound": 2, "d_head": 8, "sentence": 20}
        fixed |= {"contrast": 1}
        known = {"layer": self.layers, "head": self.heads, "depth": self.layers + 1}
        known |= {"group": len(self.groups), "variant": self.variants, "token": self.tokens}
        known |= {"projection_pair": len(PAIRS), "projection": 3, "kind": len(KINDS), "part": 2}
        known |= {"pair": self.layers, "sum": 2, "writer": 2, "grid": min(self.tokens, 28)}
        known |= {"head_pair": 3 * self.heads * (3 * self.heads + 1) // 2}
        known |= {"from": len(self.groups), "to": len(self.groups)} | fixed
        shape = tuple(known[dim] for dim in dims)
        generator = np.random.default_rng(len(shape) + sum(shape))
        return xr.DataArray(generator.uniform(low, 1, shape), dims=dims)

    def bounded(self, name: str, *dims: str, low: float = 0.01) -> dict[str, xr.DataArray]:
        """Return numbers with their intervals."""
        values = self.array(*dims, low=low)
        ends = xr.concat([values * 0.9, values * 1.1], xr.Variable("bound", ["lower", "upper"]))
        return {name: values, f"{name}_interval": ends}


def synthetic_result(stage: str, sizes: Sizes | None = None) -> xr.Dataset:
    """Return a result of a study, with what it knows of its options in ``attrs``."""
    size = sizes or Sizes()
    variables, attrs = STAGES[stage](size)
    result = xr.Dataset(variables)
    named = {"layer": range(size.layers), "depth": range(size.layers + 1), "kind": KINDS}
    named |= {"group": size.groups, "from": size.groups, "to": size.groups}
    named |= {"projection": ("q", "k", "v"), "projection_pair": PAIRS, "statistic": STATISTICS}
    named |= {"part": ("attention", "MLP"), "writer": ("attention", "MLP")}
    named |= {"contrast": ("target:control",), "sum": ("half", "layer"), "pair": range(size.layers)}
    named |= {"variant": [f"run.skip-{number}" for number in range(size.variants)]}
    found = {name: list(each) for name, each in named.items() if name in result.dims}
    known = {"edits", "first_depth"} & {*result.data_vars}
    return result.assign_coords(found).set_coords(known).assign_attrs(attrs)


Made = tuple[Mapping[str, Any], dict[str, Any]]


def _variance(size: Sizes) -> Made:
    features = {
        f"feature_variance_{name}": size.array("group", "layer", "head", "d_head") for name in "qkv"
    }
    numbers = size.bounded("variance", "group", "projection", "layer")
    return {**features, **numbers}, {"target": "her", "control": "previous"}


def _cosine(size: Sizes) -> Made:
    place = ("group", "projection_pair", "layer")
    count = (size.array(*place, "bin") * 10_000).astype(np.int64)
    pairs = count.sum("bin")
    numbers: dict[str, Any] = {"count": count, "pairs": pairs, "undefined": pairs * 0}
    numbers |= size.bounded("mean_abs", *place) | size.bounded("overall_abs", "group", "layer")
    numbers["share_above_0.9"] = size.array(*place)
    named = np.array([f"{name}{head}" for name in "QKV" for head in range(size.heads)])
    ends = np.tril_indices(len(named))
    numbers["head_cosine"] = size.array("group", "layer", "head_pair").assign_coords(
        head_one=("head_pair", named[ends[0]]), head_other=("head_pair", named[ends[1]])
    )
    numbers |= {"chance": size.array("group"), "bin_edge": ("edge", np.linspace(-1, 1, 101))}
    return numbers, {"target": "her", "control": "matched"}


def _norms(size: Sizes) -> Made:
    numbers = {"norm_resid": size.array("group", "depth", "statistic")}
    for site in ("attn_out", "mlp_out"):
        numbers[f"norm_{site}"] = size.array("group", "layer", "statistic")
    for site in "qkv":
        numbers[f"norm_{site}"] = size.array("group", "layer", "head", "statistic")
    for name in ("step", "std"):
        numbers[name] = size.array("group", "depth")
    numbers |= size.bounded("mean_norm_resid", "group", "depth")
    share = size.array("group", "writer", "layer", low=-0.2)
    return {**numbers, "share": share, "tokens": size.array("group") * 100}, {}


def _reconstruct(size: Sizes) -> Made:
    numbers = {name: size.array("sum", "layer") * 1e-7 for name in ("max_abs_error", "rounding")}
    numbers["relative_error"] = size.array("sum", "layer", low=0) * 1e-7
    for name in ("correlation", "error_token", "error_dimension"):
        numbers[name] = size.array("sum", "layer")
    for name in ("laminar_correlation", "unmasked_correlation", "excluded_share", "cut"):
        numbers[name] = size.array("pair")
    return numbers, {"edited": []}


def _downstream(size: Sizes) -> Made:
    numbers: dict[str, Any] = {}
    for name in ("delta", "relative_delta", "step", "std"):
        numbers[name] = size.array("variant", "depth", low=0)
    numbers |= {f"baseline_{name}": size.array("depth") for name in ("step", "std")}
    layers = np.arange(size.variants) % size.layers
    numbers["edits"] = ("variant", [f"skip:layer={layer}" for layer in layers])
    numbers |= {"first_depth": ("variant", layers + 1), "tokens": 100}
    numbers |= size.bounded("nll_change", "variant", low=-0.1)
    numbers |= size.bounded("group_relative_delta", "variant", "group", "depth", low=0)
    numbers |= size.bounded("group_nll_change", "variant", "group", low=-0.1)
    return numbers, {}


def _scan(size: Sizes) -> Made:
    numbers = {"nll_change": size.array("layer", low=-0.01)}
    numbers["sentence_nll_change"] = size.array("layer", "sentence", low=-0.1)
    numbers["final_relative_delta"] = size.array("layer")
    return numbers | size.bounded("group_nll_change", "group", "layer", low=-0.01), {}


def _lens(size: Sizes) -> Made:
    numbers: dict[str, Any] = {}
    for name in ("mean_nll", "mean_kl", "mean_entropy"):
        numbers |= size.bounded(name, "group", "depth")
    tokens = np.arange(size.tokens)
    numbers["top_probability"] = size.array("depth", "token", "choice")
    numbers |= {"sentence": ("token", tokens // 20), "position": ("token", tokens % 20)}
    numbers["nll"] = size.array("depth", "token") * 5
    grid = size.array("depth", "grid", "choice")
    words = np.array(WORDS, dtype="<U40")[(grid.values * 4.99).astype(int)]
    numbers |= {"grid_word": (grid.dims, words), "read_word": ("grid", words[0, :, 0])}
    return numbers | {"grid": np.arange(grid.sizes["grid"])}, {"sentence": 0}


def _attribute(size: Sizes) -> Made:
    numbers = size.bounded("mean_attribution", "group", "part", "layer", low=-1)
    numbers |= size.bounded("mean_head", "group", "layer", "head", low=-1)
    numbers |= size.bounded("mean_neuron", "group", "layer", "choice", low=-1)
    numbers["neuron"] = (size.array("layer", "choice") * 3_000).astype(np.int64)
    return numbers | {"tokens": size.array("group") * 9}, {"asked": "' her' − ' him'"}


def _heads(size: Sizes) -> Made:
    place = ("layer", "head")
    numbers = {name: size.array("kind", *place, low=-1) for name in ("excess", "score", "uniform")}
    numbers["queries"] = size.array("kind", "layer")
    for name in ("attention", "attention_excess"):
        numbers[name] = size.array("from", "to", *place, low=-1)
    return numbers, {"pattern": "from q k"}


def _triangulate(size: Sizes) -> Made:
    numbers = size.bounded("ablation", "group", "layer", "head", low=-1)
    numbers["attribution"] = size.array("group", "layer", "head", low=-1)
    numbers["excess"] = size.array("kind", "layer", "head")
    return numbers, {"removed": size.layers * size.heads}


def _histogram(size: Sizes) -> Made:
    density = size.array("group", "depth", "bin", low=0)
    edges = np.linspace(-1, 1, 101) * np.arange(1, size.layers + 2)[:, np.newaxis]
    numbers = {name: size.array("group", "depth") for name in ("mean", "std")}
    numbers |= size.bounded("group_distance", "contrast", "depth")
    for name in ("group_distance_chance", "group_distance_chance_upper"):
        numbers[name] = size.array("contrast", "depth") / 2
    return {**numbers, "density": density, "bin_edge": (("depth", "edge"), edges)}, {
        "site": "resid"
    }


STAGES: Mapping[str, Callable[[Sizes], Made]] = {
    "variance": _variance,
    "cosine": _cosine,
    "norms": _norms,
    "reconstruct": _reconstruct,
    "downstream": _downstream,
    "scan": _scan,
    "lens": _lens,
    "attribute": _attribute,
    "heads": _heads,
    "triangulate": _triangulate,
    "histogram": _histogram,
}

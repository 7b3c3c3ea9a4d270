"""Results of every study with random but plausible numbers, of any size: to look at figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.cosine.compute import PROJECTION_PAIRS
from actlas.analysis.data.group_names import FIRST, LATER
from actlas.analysis.heads.compute import SCORES
from actlas.analysis.norms.accumulating import STATISTICS
from actlas.analysis.norms.compute import WRITERS

NAMED = ("noun", "verb", "adjective", "pronoun", "number", "name", "article", "preposition")
WORDS = ("the", " cat", " sat", " on", " the", " mat", ",", " and", " it", " purred", ".", " ")
SENTENCES, VOCABULARY = 40, 50
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sizes:
    """How large results are. sweep: what the variants are, a key of ``edits``."""

    layers: int = 12
    variants: int = 5
    groups: int = 2
    heads: int = 8
    sweep: str = "mixed"
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @property
    def named(self) -> list[str]:
        """The groups that a user named."""
        if self.groups == 2:
            return ["target", "control"]
        return [NAMED[at] if at < len(NAMED) else f"column={at}" for at in range(self.groups)]

    @property
    def every(self) -> list[str]:
        """These, and those that every run has."""
        return [FIRST, LATER, *self.named]

    def walk(self, *shape: int) -> Floats:
        """Return numbers above 0 that go up along the last axis, and differ by group."""
        steps = self.generator.normal(0.03, 0.12, shape).cumsum(-1)
        start = self.generator.normal(0, 0.4, (*shape[:-1], 1))
        return np.asarray(np.exp(start + steps))


def bounded(array: xr.DataArray, share: float = 0.15) -> xr.DataArray:
    """Return an interval around numbers, (bound, …)."""
    reach = share * abs(array)
    joined = xr.concat([array - reach, array + reach], xr.Variable("bound", ["lower", "upper"]))
    return joined.transpose("bound", ...)


def variance(sizes: Sizes) -> xr.Dataset:
    """Return a result of ``variance``, grouped-query attention included."""
    coords = {"group": sizes.named, "layer": np.arange(sizes.layers)}
    means = sizes.walk(sizes.groups, 3, sizes.layers)
    means[0, :, 0] *= 1e-3
    dims = ("group", "projection", "layer")
    result = xr.Dataset({"variance": (dims, means)}, {**coords, "projection": list("qkv")})
    for at, (name, dim) in enumerate({"q": "head", "k": "kv_head", "v": "kv_head"}.items()):
        count = sizes.heads if dim == "head" else max(1, sizes.heads // 4)
        spread = sizes.generator.lognormal(0, 0.5, (*means[:, at].shape, count, 16))
        features = means[:, at, :, np.newaxis, np.newaxis] * spread
        result[f"feature_variance_{name}"] = (("group", "layer", dim, "d_head"), features)
    return result.assign(variance_interval=bounded(result["variance"]))


def cosine(sizes: Sizes, bins: int = 100) -> xr.Dataset:
    """Return a result of ``cosine``."""
    shape = (sizes.groups, len(PROJECTION_PAIRS), sizes.layers)
    edges = np.linspace(-1, 1, bins + 1)
    width = 0.15 + 0.5 * sizes.generator.random(shape)[..., np.newaxis]
    centres = (edges[:-1] + edges[1:]) / 2
    density = np.exp(-((centres / width) ** 2)) + 0.2 * np.exp(-(((1 - abs(centres)) / 0.1) ** 2))
    count = sizes.generator.poisson(100 * density)
    dims = ("group", "projection_pair", "layer")
    mean = 0.2 + 0.6 * sizes.generator.random(shape)
    found = xr.Dataset(
        {
            "count": ((*dims, "bin"), count),
            "pairs": (dims, count.sum(-1)),
            "undefined": (dims, np.zeros(shape, dtype=int)),
            "mean_abs": (dims, mean),
            "chance": ("group", np.full(sizes.groups, 0.11)),
        },
        {
            "group": sizes.named,
            "projection_pair": list(PROJECTION_PAIRS),
            "layer": np.arange(sizes.layers),
            "bin_edge": ("edge", edges),
        },
    )
    return found.assign(mean_abs_interval=bounded(found["mean_abs"], 0.08))


def matrix(sizes: Sizes, d_head: int = 12) -> xr.DataArray:
    """Return what ``cosine_matrix`` does of one layer, some cosines undefined."""
    counts = {"q": sizes.heads, "k": max(1, sizes.heads // 4), "v": max(1, sizes.heads // 4)}
    features = d_head * sum(counts.values())
    columns = sizes.generator.normal(size=(sizes.groups, features, 6))
    columns /= np.linalg.norm(columns, axis=-1, keepdims=True)
    values = (columns @ columns.transpose(0, 2, 1)).astype(np.float32)
    values[:, 3], values[:, :, 3] = np.nan, np.nan
    heads = [np.arange(d_head * count) // d_head for count in counts.values()]
    names = np.repeat(list(counts), [d_head * count for count in counts.values()])
    coords: dict[str, Any] = {"group": sizes.named, "layer": sizes.layers - 1}
    coords |= {"projection": ("feature", names), "head": ("feature", np.concatenate(heads))}
    return xr.DataArray(values, coords, ("group", "feature", "other"))


def norms(sizes: Sizes, *, writers: bool = True) -> xr.Dataset:
    """Return a result of ``norms`` with groups."""
    groups, depths = sizes.every, sizes.layers + 1
    coords: dict[str, Any] = {"group": groups, "statistic": list(STATISTICS)}
    coords |= {"layer": np.arange(sizes.layers), "depth": np.arange(depths)}
    factors = np.array([1.05, 0.7, 1, 1.4, 4])  # of STATISTICS, to the median
    found: dict[str, Any] = {"tokens": ("group", np.arange(len(groups)) * 7 + 40)}
    places: dict[str, tuple[str, ...]] = {
        "resid": ("depth",),
        "attn_out": ("layer",),
        "mlp_out": ("layer",),
    }
    places |= {"q": ("layer", "head"), "k": ("layer", "head"), "final_norm": ()}
    for site, dims in places.items():
        if writers or not site.endswith("_out"):
            shape = [{"depth": depths, "layer": sizes.layers, "head": 2}[dim] for dim in dims]
            values = sizes.walk(len(groups), *shape)[..., np.newaxis] * factors
            found[f"norm_{site}"] = (("group", *dims, "statistic"), values)
    found |= {
        name: (("group", "depth"), sizes.walk(len(groups), depths)) for name in ("step", "std")
    }
    if writers:
        shares = sizes.generator.normal(0.2, 0.1, (len(WRITERS), len(groups), sizes.layers))
        found["share"] = (("writer", "group", "layer"), shares)
        coords["writer"] = list(WRITERS)
    result = xr.Dataset(found, coords)
    mean = result["norm_resid"].sel(statistic="mean", drop=True)
    return result.assign(mean_norm_resid_interval=bounded(mean, 0.05))


def histogram(sizes: Sizes, bins: int = 60) -> xr.Dataset:
    """Return a result of ``histogram``, with distances between two groups."""
    depths, groups = sizes.layers + 1, sizes.every
    edges = np.linspace(-4, 4, bins + 1) * sizes.walk(depths)[:, np.newaxis]
    centres = np.linspace(-4, 4, bins)
    density = np.exp(-0.5 * (centres / sizes.walk(len(groups), depths)[..., np.newaxis]) ** 2)
    density[density < 1e-4] = 0
    distance = xr.DataArray(sizes.walk(1, depths), dims=("contrast", "depth"))
    found = {
        "density": (("group", "depth", "bin"), density),
        "mean": (("group", "depth"), sizes.walk(len(groups), depths)),
        "group_distance": distance,
        "group_distance_chance": 0.4 * distance,
        "group_distance_chance_upper": 0.6 * distance,
        "group_distance_interval": bounded(distance),
    }
    coords = {"group": groups, "depth": np.arange(depths), "bin_edge": (("depth", "edge"), edges)}
    return xr.Dataset(found, {**coords, "contrast": [":".join(sizes.named[:2])]})


def edits(sizes: Sizes) -> list[str]:
    """Return the edits of the variants: ``mixed``, ``factors``, ``layers`` or ``both``."""
    numbers, layers = range(sizes.variants), sizes.layers
    if sizes.sweep == "mixed":
        kinds = ("skip:layer={0}", "zero:site=z,layer={0},head=2", "scale:layer={0},factor=0.5")
        return [kinds[at % 3].format(at % layers) for at in numbers]
    if sizes.sweep == "factors":
        factors = np.geomspace(0.1, 10, sizes.variants)
        return [f"scale:layer={layers // 2},factor={factor:.3g}" for factor in factors]
    if sizes.sweep == "layers":
        return [f"skip:layer={at}" for at in numbers]
    chosen = (0.25, 0.5, 0.75, 1.25, 2.0)
    return [f"scale:layer={at // 5 % layers},factor={chosen[at % 5]}" for at in numbers]


def downstream(sizes: Sizes, *, grouped: bool = True) -> xr.Dataset:
    """Return a result of ``downstream``, by group too."""
    depths, texts = np.arange(sizes.layers + 1), edits(sizes)
    first = np.array([1 + at % sizes.layers for at in range(len(texts))])
    size = sizes.generator.lognormal(-1, 1.5, (len(texts), 1))
    share = size * sizes.walk(len(texts), len(depths)) * (depths >= first[:, np.newaxis])
    clean = {f"baseline_{kind}": ("depth", sizes.walk(len(depths))) for kind in ("step", "std")}
    dims, change = ("variant", "depth"), sizes.generator.lognormal(-3, 2, len(texts))
    losses = change[:, np.newaxis] * sizes.generator.normal(1, 0.5, (len(texts), SENTENCES))
    found: dict[str, Any] = dict.fromkeys(("relative_delta", "step", "std"), (dims, share))
    found |= {"delta": (dims, 50 * share), "nll_change": ("variant", losses.mean(1))}
    found |= {**clean, "tokens": 400, "sentence_nll_change": (("variant", "sentence"), losses)}
    labels = {"variant": [f"v{at}" for at in range(len(texts))], "edits": ("variant", texts)}
    coords = {**labels, "first_depth": ("variant", first), "depth": depths}
    result = xr.Dataset(found, {**coords, "group": sizes.every})
    return _with_groups(result, sizes) if grouped else result.drop_dims("group")


def scan(sizes: Sizes, *, grouped: bool = True) -> xr.Dataset:
    """Return a result of ``scan``."""
    result = downstream(Sizes(sizes.layers, sizes.layers, sizes.groups, sweep="layers"))
    names = ["nll_change", "sentence_nll_change", "group_nll_change", "group_nll_change_interval"]
    found = result[names if grouped else names[:2]].drop_vars(["edits", "first_depth", "variant"])
    return found.rename(variant="layer").assign_coords(layer=np.arange(sizes.layers))


def _with_groups(result: xr.Dataset, sizes: Sizes) -> xr.Dataset:
    tilt = xr.DataArray(np.linspace(0.5, 1.5, sizes.groups), {"group": sizes.named}, ("group",))
    share = (result["relative_delta"] * tilt).transpose("variant", "group", "depth")
    change = (result["nll_change"] * tilt).transpose("variant", "group")
    found = {"group_relative_delta": share, "group_nll_change": change}
    found |= {f"{name}_interval": bounded(array) for name, array in list(found.items())}
    return result.assign({name: array.reindex(group=sizes.every) for name, array in found.items()})


def reconstruct(sizes: Sizes) -> xr.Dataset:
    """Return a result of ``reconstruct``, by group too."""
    layers, sums = np.arange(sizes.layers), ["layer", "attention", "MLP"]
    r = 1 - 0.5 * sizes.generator.random(sizes.layers) ** 3
    groups = r * (1 - 0.1 * sizes.generator.random((sizes.groups, 1)))
    by_group = xr.DataArray(groups, {"group": sizes.named, "pair": layers}, ("group", "pair"))
    found = {
        "relative_error": (("sum", "layer"), 3e-8 * sizes.walk(3, sizes.layers)),
        "laminar_correlation": ("pair", r),
        "unmasked_correlation": ("pair", r**0.9),
        "excluded_share": ("pair", np.full(sizes.layers, 0.01)),
        "cut": ("pair", np.full(sizes.layers, 3.0)),
        "group_correlation": by_group,
        "group_correlation_interval": bounded(by_group, 0.02),
    }
    return xr.Dataset(found, {"sum": sums, "layer": layers, "pair": layers})


def heads(sizes: Sizes) -> xr.Dataset:
    """Return a result of ``heads``."""
    shape = (len(SCORES), sizes.layers, sizes.heads)
    groups = sizes.every[:4]
    between = sizes.generator.normal(0, 0.1, (len(groups), len(groups), *shape[1:]))
    found = {
        "excess": (("kind", "layer", "head"), sizes.generator.standard_t(2, shape) * 0.05),
        "attention_excess": (("from", "to", "layer", "head"), between),
    }
    return xr.Dataset(
        found, {"kind": list(SCORES), "layer": np.arange(sizes.layers)}
    ).assign_coords({"from": groups, "to": groups})


def lens(sizes: Sizes, tokens: int = 60) -> xr.Dataset:
    """Return a result of ``lens`` of one sentence of ``tokens``."""
    depths, groups = sizes.layers + 1, sizes.every
    fall = np.linspace(9, 3, depths)
    nll = fall[:, np.newaxis] * sizes.generator.lognormal(-0.3, 0.6, (depths, tokens))
    nll[:, 0] = np.nan
    found: dict[str, Any] = {"nll": (("depth", "token"), nll)}
    for name in ("mean_nll", "mean_kl", "mean_entropy"):
        means = xr.DataArray(fall * sizes.walk(len(groups), depths), dims=("group", "depth"))
        found |= {name: means, f"{name}_interval": bounded(means, 0.05)}
    chosen = sizes.generator.integers(0, len(WORDS), (depths, tokens))
    top = sizes.generator.random((depths, tokens, 1))
    found |= {"top_probability": (("depth", "token", "choice"), top)}
    found |= {"top_word": (("depth", "token"), np.array(WORDS)[chosen])}
    labels = {"sentence": ("token", np.zeros(tokens, int)), "token_id": ("token", chosen[0])}
    return xr.Dataset(found, {"group": groups, "depth": np.arange(depths), **labels})


class Vocabulary:
    """Words by id, as a lens asks for them."""

    def of(self, ids: npt.NDArray[Any]) -> list[str]:
        """Return the words of ``ids``."""
        return [WORDS[int(number) % len(WORDS)] for number in ids]


def attribution(sizes: Sizes) -> xr.Dataset:
    """Return a result of ``attribute`` with heads."""
    groups, layers = sizes.named[:4], np.arange(sizes.layers)
    parts = sizes.generator.standard_t(2, (len(groups), 2, sizes.layers)) * 0.2
    mean = xr.DataArray(parts, dims=("group", "part", "layer"))
    by_head = sizes.generator.standard_t(2, (len(groups), sizes.layers, sizes.heads)) * 0.05
    found = {
        "mean_attribution": mean,
        "mean_attribution_interval": bounded(mean),
        "mean_head": (("group", "layer", "head"), by_head),
        "tokens": ("group", np.arange(len(groups)) + 20),
    }
    return xr.Dataset(found, {"group": groups, "part": ["attention", "MLP"], "layer": layers})


def triangulation(sizes: Sizes) -> xr.Dataset:
    """Return a result of ``triangulate``."""
    own = attribution(sizes)
    costs = own["mean_head"] * sizes.generator.normal(1, 0.4, own["mean_head"].shape)
    found = {"attribution": own["mean_head"], "ablation": costs, "tokens": own["tokens"]}
    return xr.Dataset(found).assign(ablation_interval=bounded(costs, 0.3))

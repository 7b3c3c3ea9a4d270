"""The canonical sites: what each means in every architecture.

The file of a family says, in rows, where it has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from actlas.pipeline.models.geometry import Geometry
from actlas.store.format.parts import SitePart
from actlas.store.format.schema import SiteLayout, StoredDtype
from actlas.store.reading.hook_names import HOOKS

#: changes when the meaning of a site changes; part of every run's identity
SITES_VERSION = 1


@dataclass(frozen=True)
class Site:
    """A named activation. Dims are those of a run.

    ``kv_head`` is ``head`` where both have the same size.
    """

    name: str
    dims: tuple[str, ...]
    description: str
    loss: bool = False  # the token loss computed from the tensor, not the tensor itself
    weights: bool = False  # attention weights, (batch, head, query, key), which eager attention has
    editable: bool = True  # False: a change here would reach only one of those who read it

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other names that it has, those of TransformerLens."""
        return tuple(name for name, site in HOOKS.items() if site == self.name)

    @property
    def has_heads(self) -> bool:
        """Whether a head of it can be chosen."""
        return "head" in self.dims or "kv_head" in self.dims

    def dims_in(self, geometry: Geometry) -> tuple[str, ...]:
        """Return the dims in a store: ``kv_head`` only where keys have heads of their own."""
        if geometry.n_kv_head != geometry.n_head:
            return self.dims
        return tuple("head" if dim == "kv_head" else dim for dim in self.dims)

    def columns(self, geometry: Geometry) -> tuple[int, int]:
        """Return heads and columns of a head, of a token in one layer.

        One head where there are none.
        """
        width = geometry.sizes[self.dims[-1]]
        for dim in ("head", "kv_head"):
            if dim in self.dims:
                return geometry.sizes[dim], width
        return 1, width


_MODEL = ("layer", "token", "d_model")
_MLP = ("layer", "token", "d_mlp")
_HEAD = ("layer", "token", "head", "d_head")
_KV_HEAD = ("layer", "token", "kv_head", "d_head")
_TABLE = (
    Site(
        "resid",
        ("depth", "token", "d_model"),
        "residual stream: before block d, and after the last block",
    ),
    Site(
        "resid_mid",
        _MODEL,
        "residual stream between attention and MLP",
    ),
    Site("q", _HEAD, "query"),
    Site("k", _KV_HEAD, "key"),
    Site("v", _KV_HEAD, "value"),
    Site("q_normed", _HEAD, "query after its own norm"),
    Site("k_normed", _KV_HEAD, "key after its own norm"),
    Site(
        "q_rot",
        _HEAD,
        "query as the scores have it, turned by its position",
        editable=False,
    ),
    Site(
        "k_rot",
        _KV_HEAD,
        "key as the scores have it, turned by its position",
        editable=False,
    ),
    Site("z", _HEAD, "values weighted by attention, per head"),
    Site("attn_out", _MODEL, "what attention adds"),
    Site(
        "mlp_pre",
        _MLP,
        "MLP neurons before the activation function",
    ),
    Site(
        "mlp_up",
        _MLP,
        "what multiplies the MLP neurons after the activation function, in a gated MLP",
    ),
    Site(
        "mlp_post",
        _MLP,
        "MLP neurons after the activation function",
    ),
    Site("mlp_out", _MODEL, "what the MLP adds"),
    Site(
        "pattern",
        ("layer", "token", "head", "key"),
        "attention weight of each position of the token's sentence; 0 for those it does not see",
        weights=True,
        editable=False,
    ),
    Site(
        "final_norm",
        ("token", "d_model"),
        "residual stream after the final norm",
    ),
    Site(
        "nll",
        ("token",),
        "-log p(token | before) in nats, NaN at position 0",
        loss=True,
        editable=False,
    ),
)
SITES: Mapping[str, Site] = {site.name: site for site in _TABLE}
DEFAULT_SITES = ("resid", "q", "k", "v", "attn_out", "mlp_out", "final_norm", "nll")


def site_parts(
    names: Iterable[str],
    geometry: Geometry,
    layers: Sequence[int] | None = None,
    depths: Sequence[int] | None = None,
) -> tuple[SitePart, ...]:
    """Return the sites ``names`` at some layers and depths, or at all of a model's.

    Sites that have neither come as they are.
    """
    every = {"layer": range(geometry.n_layer), "depth": range(geometry.n_layer + 1)}
    chosen = {"layer": layers, "depth": depths}
    found = []
    for name in names:
        dim = SITES[name].dims[0]
        numbers = chosen.get(dim)
        found.append(SitePart(name, tuple(every.get(dim, (0,)) if numbers is None else numbers)))
    return tuple(found)


def layout(
    name: str, geometry: Geometry, tokens: int, dtype: StoredDtype, keys: int = 0
) -> SiteLayout:
    """Return how a shard of ``tokens`` tokens holds a site.

    A loss is float32, whatever ``dtype`` is.

    keys: tokens of the run's longest sentence, which attention weights are stored for.
    """
    site = SITES[name]
    dims = site.dims_in(geometry)
    sizes = {**geometry.sizes, "token": tokens, "key": keys}
    shape = tuple(sizes[dim] for dim in dims)
    return SiteLayout(name, dims, shape, "float32" if site.loss else dtype, site.description)

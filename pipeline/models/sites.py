"""The table of sites: the only place where a module path of a model stands.

A second architecture is a second table. Paths are relative to the model's ``transformer``; ``{layer}`` is the block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from actlas.pipeline.models.configuration import Geometry
from actlas.store.format.schema import SiteLayout, StoredDtype

#: changes when the meaning of a site changes; part of every run's identity
SITES_VERSION = 1

#: what carries the residual stream: the list of blocks, one of them (first argument: its input), and what leads to the first
BLOCKS = "h"
BLOCK = "h.{layer}"
EMBEDDING = "drop"


@dataclass(frozen=True)
class Site:
    """Where a tensor is read: ``module`` of block ``{layer}``, its first input or its output."""

    name: str
    dims: tuple[str, ...]
    module: str
    side: Literal["in", "out"]
    description: str
    aliases: tuple[str, ...] = ()
    part: int | None = None  # third of a fused output of 3 · d_model columns
    last: str | None = (
        None  # module of the last depth, where a site has one more than there are blocks
    )
    loss: bool = False  # the token loss computed from the tensor, not the tensor itself
    editable: bool = (
        True  # False: changing the tensor here would change only one of those who read it
    )
    weights: bool = False  # the second of two outputs, (batch, head, query, key), which only eager attention has


_GPT2 = (
    Site(
        "resid",
        ("depth", "token", "d_model"),
        "h.{layer}.ln_1",
        "in",
        "residual stream: before block d, and after the last block",
        ("hook_resid_pre", "hook_resid_post", "resid_pre", "resid_post"),
        last="ln_f",
    ),
    Site(
        "resid_mid",
        ("layer", "token", "d_model"),
        "h.{layer}.ln_2",
        "in",
        "residual stream between attention and MLP",
        ("hook_resid_mid",),
        editable=False,
    ),
    Site(
        "q",
        ("layer", "token", "head", "d_head"),
        "h.{layer}.attn.c_attn",
        "out",
        "query",
        ("attn.hook_q", "hook_q"),
        part=0,
    ),
    Site(
        "k",
        ("layer", "token", "head", "d_head"),
        "h.{layer}.attn.c_attn",
        "out",
        "key",
        ("attn.hook_k", "hook_k"),
        part=1,
    ),
    Site(
        "v",
        ("layer", "token", "head", "d_head"),
        "h.{layer}.attn.c_attn",
        "out",
        "value",
        ("attn.hook_v", "hook_v"),
        part=2,
    ),
    Site(
        "z",
        ("layer", "token", "head", "d_head"),
        "h.{layer}.attn.c_proj",
        "in",
        "values weighted by attention, per head",
        ("attn.hook_z", "hook_z"),
    ),
    Site(
        "attn_out",
        ("layer", "token", "d_model"),
        "h.{layer}.attn.c_proj",
        "out",
        "what attention adds",
        ("hook_attn_out",),
    ),
    Site(
        "mlp_pre",
        ("layer", "token", "d_mlp"),
        "h.{layer}.mlp.c_fc",
        "out",
        "MLP neurons before the activation function",
        ("mlp.hook_pre", "hook_pre"),
    ),
    Site(
        "mlp_post",
        ("layer", "token", "d_mlp"),
        "h.{layer}.mlp.c_proj",
        "in",
        "MLP neurons after the activation function",
        ("mlp.hook_post", "hook_post"),
    ),
    Site(
        "mlp_out",
        ("layer", "token", "d_model"),
        "h.{layer}.mlp.c_proj",
        "out",
        "what the MLP adds",
        ("hook_mlp_out",),
    ),
    Site(
        "pattern",
        ("layer", "token", "head", "key"),
        "h.{layer}.attn",
        "out",
        "attention weight of each earlier position, and its own, in the token's sentence; 0 for others",
        ("attn.hook_pattern", "hook_pattern"),
        editable=False,
        weights=True,
    ),
    Site(
        "final_norm",
        ("token", "d_model"),
        "ln_f",
        "out",
        "residual stream after the final LayerNorm",
        ("ln_final",),
    ),
    Site(
        "nll",
        ("token",),
        "ln_f",
        "out",
        "-log p(token | before) in nats, NaN at position 0",
        ("loss_per_token",),
        loss=True,
        editable=False,
    ),
)
SITES: Mapping[str, Site] = {site.name: site for site in _GPT2}
DEFAULT_SITES = ("resid", "q", "k", "v", "attn_out", "mlp_out", "final_norm", "nll")


@dataclass(frozen=True)
class Place:
    """One block of one site, resolved: the module, the side, the columns."""

    site: Site
    block: int
    path: str
    columns: slice

    @property
    def key(self) -> tuple[str, int]:
        """Site and block, as the store counts them."""
        return self.site.name, self.block


def places(names: Iterable[str], geometry: Geometry) -> list[Place]:
    """Return every place to read for ``names``."""
    found = []
    for site in (SITES[name] for name in names):
        start = (site.part or 0) * geometry.d_model
        columns = slice(None) if site.part is None else slice(start, start + geometry.d_model)
        paths = (
            [site.module.format(layer=layer) for layer in range(geometry.n_layer)]
            if "{layer}" in site.module
            else [site.module]
        )
        paths += [site.last] if site.last else []
        found += [Place(site, block, path, columns) for block, path in enumerate(paths)]
    return found


def layout(
    name: str, geometry: Geometry, tokens: int, dtype: StoredDtype, keys: int = 0
) -> SiteLayout:
    """Return how a shard of ``tokens`` tokens holds a site; a loss is float32 whatever the rest is stored as.

    keys: tokens of the run's longest sentence, which attention weights are stored for.
    """
    site = SITES[name]
    sizes = {**geometry.sizes, "token": tokens, "key": keys}
    shape = tuple(sizes[dim] for dim in site.dims)
    return SiteLayout(name, site.dims, shape, "float32" if site.loss else dtype, site.description)

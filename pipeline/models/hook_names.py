"""Names of sites as users give them.

The table's own, TransformerLens', and those with a layer, ``blocks.3.attn.hook_q``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from actlas.pipeline.models.sites import SITES
from actlas.store.errors import UsageError, quoted, unknown

BLOCKS = "blocks."  # begins the names that say the layer
DIGITS = 9  # of a layer, at most

_ALIASES = {alias: site.name for site in SITES.values() for alias in site.aliases}


@dataclass(frozen=True)
class SiteName:
    """A name of a site, and what it says besides.

    The layer, and of the residual stream which side of the block.
    """

    name: str
    site: str
    layer: int | None = None
    side: Literal["pre", "post"] | None = None


def site_name(name: str) -> SiteName:
    """Return the site that ``name`` means.

    Raises UsageError, naming the nearest, for one that there is not.
    """
    layer, short = None, name
    if name.startswith(BLOCKS):
        number, _, short = name.removeprefix(BLOCKS).partition(".")
        if not (number.isascii() and number.isdigit() and len(number) <= DIGITS):
            raise UsageError(
                f"site {quoted(name)}: expected a layer behind {BLOCKS!r}, as in "
                f"blocks.3.attn.hook_q"
            )
        layer = int(number)
    site = _ALIASES.get(short, None if layer is not None else short)
    if site is None or site not in SITES:
        hooks = (
            [f"{BLOCKS}{layer}.{alias}" for alias in _ALIASES]
            if layer is not None
            else _ALIASES
            if "hook" in name
            else ()
        )
        raise unknown("site", name, [*(SITES if layer is None else ()), *hooks])
    if layer is not None and SITES[site].dims[0] == "token":
        raise UsageError(f"site {quoted(name)}: {site} has no layer, expected {short}")
    side: Literal["pre", "post"] | None = (
        "pre" if short.endswith("resid_pre") else "post" if short.endswith("resid_post") else None
    )
    return SiteName(name, site, layer, side)


def hook_name(site: str, layer: int | None) -> str:
    """Return the name that TransformerLens has for a site of a layer, ``blocks.3.hook_mlp_out``.

    Of ``resid`` that of what leaves the layer; the site's own name where there is none.
    """
    post = "hook_resid_post"
    alias = post if site == "resid" else next(iter(SITES[site].aliases), site)
    return alias if layer is None else f"{BLOCKS}{layer}.{alias}"


def check_layers(wanted: Iterable[str], layers: int) -> None:
    """Raise UsageError for a name with a layer that a model of ``layers`` blocks does not have."""
    for point in map(site_name, wanted):
        if point.layer is not None and point.layer >= layers:
            raise UsageError(f"site {quoted(point.name)}: the model has layers 0 to {layers - 1}")


def site_names(wanted: Iterable[str]) -> tuple[str, ...]:
    """Return the table's names for ``wanted`` names, in table order, each once.

    Raises UsageError for others.

    A name with a layer means the site: a store keeps all layers of it.
    """
    names = {site_name(name).site for name in wanted}
    return tuple(name for name in SITES if name in names)

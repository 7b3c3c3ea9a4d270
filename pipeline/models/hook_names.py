"""Names of sites as users give them, of all sites that there are."""

from __future__ import annotations

from collections.abc import Iterable

from actlas.pipeline.models.sites import SITES
from actlas.store.errors import UsageError, quoted
from actlas.store.reading import hook_names
from actlas.store.reading.hook_names import BLOCKS, SiteName


def site_name(name: str) -> SiteName:
    """Return the site that ``name`` means.

    Raises UsageError, naming the nearest, for one that there is not.
    """
    return hook_names.site_name(name, SITES)


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

"""``run["q", 3]``: one site, or one layer of it, by any of its names."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from actlas.store.errors import UsageError
from actlas.store.format.schema import BLOCK_DIMS, Json
from actlas.store.reading.hook_names import HOOKS, SiteName, site_name

if TYPE_CHECKING:
    import xarray as xr

EXPECTED = 'expected such as run["q"], run["q", 3] or run["blocks.3.attn.hook_q"]'


class Readable(Protocol):
    """A run, as far as picking needs it."""

    description: Json

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def sites(self) -> tuple[str, ...]:
        """Sites that every unit has."""

    def dataset(self, sites: str | Iterable[str] | None = None) -> xr.Dataset:
        """Return the lazy view."""

    def require(self, sites: str | Iterable[str]) -> None:
        """Raise for a site that it does not have."""


class Picking:
    """What makes a run answer to ``run[site]`` and ``run[site, layer]``."""

    def __getitem__(self: Readable, key: Any) -> xr.DataArray:
        """Return a site, lazy and labelled, or layers of it.

        key: the name of a site, ``"q"``, or TransformerLens', ``"blocks.3.attn.hook_q"``; with it
        a layer, of ``resid`` a depth, several as a list or a slice: ``run["q", [0, 5]]``. Dims are
        those of ``dataset``, without ``layer`` where one is chosen. ``hook_resid_pre`` of layer l
        is depth l, ``hook_resid_post`` depth l + 1.
        Raises UsageError for a name, the nearest named, or a layer that there is not.
        """
        parts = key if isinstance(key, tuple) else (key,)
        if len(parts) not in (1, 2) or not isinstance(parts[0], str):
            raise UsageError(f"run {self.name}: got {str(key)[:50]!r}, {EXPECTED}")
        point = site_name(parts[0], {*self.sites, *HOOKS.values()})
        self.require(point.site)
        array = self.dataset((point.site,))[point.site]
        where = f"run {self.name}: {point.name}"
        chosen = _chosen(where, point, parts[1:])
        dim = str(array.dims[0])
        if dim not in BLOCK_DIMS:
            if chosen is not None:
                raise UsageError(f"{where} has no layer, expected run[{parts[0]!r}]")
            return array
        held = array[dim].values.tolist()
        if point.side is None:
            return array if chosen is None else array.sel({dim: _numbers(where, dim, chosen, held)})
        last = self.description.get("model", {}).get("layer", max(held))
        offset = int(point.side == "post")
        layers = [depth - offset for depth in held if 0 <= depth - offset < last]
        found = layers if chosen is None else _numbers(where, "layer", chosen, layers)
        depths = [each + offset for each in found] if isinstance(found, list) else found + offset
        return array.sel({dim: depths})

    def _ipython_key_completions_(self: Readable) -> list[str]:
        return list(self.sites)


def _chosen(where: str, point: SiteName, given: Sequence[Any]) -> Any:
    """Return the layers that are asked for, None for all."""
    if given and point.layer is not None:
        raise UsageError(f"{where} says its layer: leave the second index out")
    return given[0] if given else point.layer


def _numbers(where: str, dim: str, chosen: Any, held: list[int]) -> int | list[int]:
    """Return the layers, or depths, that ``chosen`` means; raises UsageError for others."""
    known = f"{held[0]} to {held[-1]}" if len(held) > 1 else f"{held[0] if held else 'none'}"
    if len(held) and held != list(range(held[0], held[-1] + 1)):
        known = ", ".join(map(str, held))
    if isinstance(chosen, slice):
        if any(each is not None and each < 0 for each in (chosen.start, chosen.stop)):
            raise UsageError(f"{where}: {dim}s are counted from 0, expected some of {known}")
        chosen = [each for each in range(max(held, default=-1) + 1)[chosen] if each in held]
    try:
        several = isinstance(chosen, Iterable) and not isinstance(chosen, str | bytes)
        numbers = [operator.index(each) for each in (chosen if several else [chosen])]
    except TypeError as error:
        raise UsageError(f"{where}: got {str(chosen)[:50]!r}, {EXPECTED}") from error
    for number in numbers:
        if number not in held:
            raise UsageError(f"{where} has {dim}s {known}, got {number}")
    return numbers if several else numbers[0]

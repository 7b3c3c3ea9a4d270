"""Ways out of a run into other libraries, each imported when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Outlets:
    """What a ``Run`` hands to other libraries."""

    def to_torch(
        self, site: str, layer: int | None = None, batch: int = 1024, **options: Any
    ) -> Any:
        """Return batches of rows as a ``torch.utils.data.IterableDataset``; see ``TokenRows``.

        Each is (rows, token index), float32 (batch, …) and int64 (batch,); every token comes once
        an epoch, units and rows in random order. layer: of ``resid`` the depth. options: ``where``
        (a boolean on ``token``, indices along it, or a text that names a group of tokens, such as
        ``"her@-1"`` or ``"position:1-9"``), ``seed``, ``pool`` (tokens that are mixed with one
        another, at least), ``check``.
        Raises UsageError, IncompleteRun; DamagedStore on reading.
        """
        # by name: the store knows no torch, and who never calls this needs none
        rows = import_module("actlas.pipeline.feeding").TokenRows
        options["where"] = _named(self, site, options.get("where"))
        return rows(self, site, layer, batch, **options)

    def to_rsatoolbox(self, site: str, layer: int | None = None, *, where: Any = None) -> Any:
        """Return rows as an ``rsatoolbox.data.Dataset``: measurements (token, feature), float64.

        Heads stand one after the other; the labels of the tokens and their indices along ``token``
        are descriptors of observations. where: as in ``to_torch``. All rows are in memory: choose
        tokens, or average with ``ds[site].groupby(column).mean()`` first.
        Raises UsageError, IncompleteRun, DamagedStore.
        """
        bridge = import_module("actlas.store.exporting.rsatoolbox")
        return bridge.dataset_of(self, site, layer, _named(self, site, where))


def _named(run: Any, site: str, where: Any) -> Any:
    """Return ``where``; of a text, the indices of the tokens that it names."""
    if not isinstance(where, str):
        return where
    # by name: groups are of the analyses, which the store does not know
    selection = import_module("actlas.analysis.groups.selection")
    return selection.tokens_where(run.dataset(site), where)

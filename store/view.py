"""The lazy labelled view of a run: a dask array for each site, labels as coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from dask.base import tokenize
from xarray.backends import BackendArray
from xarray.core import indexing

from actlas.store.blocks import lazy_site
from actlas.store.errors import DamagedStore
from actlas.store.labels import TOKEN_LABELS
from actlas.store.pieces import OwnPieces, Pieces, site_pieces
from actlas.store.schema import BLOCK_DIMS
from actlas.store.texts import StoredTexts

if TYPE_CHECKING:
    from actlas.store.run import Run


class _Texts(BackendArray):
    """Texts that xarray reads when they are asked for, as it does the variables of a file."""

    dtype = np.dtype(object)

    def __init__(self, texts: StoredTexts) -> None:
        self._texts = texts
        self.shape = (len(texts),)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[int | slice]) -> Any:
        return self._texts[key[0]] if isinstance(key[0], int) else np.array(self._texts[key[0]], dtype=object)


def lazy_view(run: Run, sites: Sequence[str], *, check: bool) -> xr.Dataset:
    """Return ``sites``, all of them complete, as ``Run.dataset`` does; raises DamagedStore where units do not fit together."""
    tokens = tuple(unit.tokens for unit in run.units)
    variables = {}
    for site in sites:
        units = site_pieces(run, site)
        _check_alike(site, units)
        # the folder is part of the name: dask takes arrays of one name for the same, and stores are there to be compared
        name = f"{site}-{tokenize(str(run.folder.resolve()), site, run.digest, check)}"
        layout = units[0][-1].stored.layout
        array = lazy_site(name, units, tokens, check)
        variables[site] = xr.Variable(layout.dims, array, {"long_name": layout.description})
    return xr.Dataset(variables, coords=_coordinates(run, variables), attrs={"run": run.id, "name": run.name})


def _check_alike(site: str, units: Sequence[Pieces]) -> None:
    """Raise DamagedStore unless the units' arrays of ``site`` make one."""
    first = units[0]
    for pieces in units.kinds if isinstance(units, OwnPieces) else units:
        same = (
            pieces[-1].stored.layout is first[-1].stored.layout or pieces[-1].stored.layout.form == first[-1].stored.layout.form
        )
        if not same or len(pieces) != len(first):
            raise DamagedStore(f"{pieces[-1].path} has {site} in another shape than {first[-1].path}: see `actlas show`")


def _coordinates(run: Run, variables: Mapping[str, xr.Variable]) -> dict[str, Any]:
    labels = run.labels
    coordinates: dict[str, Any] = {
        name: ("token", labels.token[name], {"long_name": meaning}) for name, meaning in TOKEN_LABELS.items()
    }
    coordinates["row_size"] = ("sentence", labels.row_size)
    # objects: characters of a fixed number would take the longest text's room for each of a corpus
    texts = indexing.LazilyIndexedArray(_Texts(labels.text)) if isinstance(labels.text, StoredTexts) else None
    coordinates["text"] = ("sentence", np.array(labels.text, dtype=object) if texts is None else texts)
    coordinates.update({name: ("sentence", column) for name, column in labels.columns.items()})
    for dim in BLOCK_DIMS:
        sizes = {variable.sizes[dim] for variable in variables.values() if dim in variable.dims}
        if sizes:
            coordinates[dim] = run.block_numbers(dim, sizes.pop())
    return coordinates

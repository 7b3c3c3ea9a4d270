"""``xr.open_dataset("atlas::run", engine="actlas")``: a run through xarray's own function."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from actlas.store.errors import UsageError, quoted
from actlas.store.format.schema import EXPORT_SUFFIXES

if TYPE_CHECKING:
    from actlas.store.runs.run import Run

BETWEEN = "::"  # store and run


class _Site(BackendArray):
    """One site, read where xarray asks for a part of it."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape, self.dtype = array.shape, np.dtype(array.dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.OUTER_1VECTOR
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._read)

    def _read(self, key: tuple[Any, ...]) -> Any:
        # xarray may be in a thread of dask already
        return self._array[key].compute(scheduler="synchronous")


class ActlasBackend(BackendEntrypoint):
    """The engine ``actlas`` of xarray."""

    description = 'Read a run of an actlas store, "STORE::RUN", or an export of one'
    open_dataset_parameters: ClassVar[tuple[str, ...]] = (
        "filename_or_obj",
        "drop_variables",
        "sites",
        "check",
    )

    def open_dataset(  # type: ignore[override]  # engines have options of their own
        self,
        filename_or_obj: str | os.PathLike[Any],
        *,
        drop_variables: str | Iterable[str] | None = None,
        sites: str | Iterable[str] | None = None,
        check: bool = False,
    ) -> xr.Dataset:
        """Return what ``Run.dataset`` does, its sites read where they are asked for.

        filename_or_obj: ``STORE::RUN``, a name or an id, or the path of an export. sites, check: as
        of ``Run.dataset``. With ``chunks={}`` it is dask's, a chunk a layer and unit.
        Raises UsageError for what is neither, and as ``Run.dataset`` does.
        """
        dataset = _opened(os.fspath(filename_or_obj)).dataset(sites, check=check)
        variables = {}
        for name, array in dataset.data_vars.items():
            lazy = indexing.LazilyIndexedArray(_Site(array.data))
            chunks = dict(zip(array.dims, array.data.chunks, strict=True))
            encoding = {"preferred_chunks": chunks}
            variables[name] = xr.Variable(array.dims, lazy, array.attrs, encoding)
        found = dataset.assign(variables)
        dropped = [drop_variables] if isinstance(drop_variables, str) else drop_variables or ()
        return found.drop_vars(list(dropped), errors="ignore")

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether it is a store and a run; ordinary files are left to other engines."""
        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        store, between, _ = os.fspath(filename_or_obj).rpartition(BETWEEN)
        return bool(between) and (Path(store) / "store.json").is_file()


def _opened(name: str) -> Run:
    from actlas.store.catalog import Store
    from actlas.store.runs.exported import Exported

    store, between, run = name.rpartition(BETWEEN)
    if between:
        return Store(store).run(run)
    if Path(name).suffix in EXPORT_SUFFIXES:
        return Exported(Path(name))
    raise UsageError(f'expected "STORE::RUN" or the path of an export, got {quoted(name)}')

"""What of a run goes into an export.

Sites, layers, tokens and dtype, worked out before a byte is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from actlas.store.errors import StoreError, UsageError
from actlas.store.format.parts import WHOLE
from actlas.store.format.pools import Origin, pool
from actlas.store.format.schema import (
    BLOCK_DIMS,
    NUMPY_VIEW,
    Json,
    SiteLayout,
    StoredDtype,
    Unit,
)
from actlas.store.labels.labels import SENTENCE_IN_RUN, Labels
from actlas.store.reading.index import RunIndex
from actlas.store.reading.sources import layout_of
from actlas.store.reading.sources import rows as rows_of
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    import xarray as xr

Indices = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Selection:
    """What of a run is exported; all of it by default."""

    sites: tuple[str, ...] | None = None
    layers: tuple[int, ...] | None = (
        None  # blocks of the model; of sites on depth, the input and output of each
    )
    tokens: Indices | None = None  # along the run's token, ascending
    dtype: StoredDtype | None = (
        None  # of sites with features; those of one number a token stay as they are
    )
    note: Json = field(default_factory=dict)  # how the tokens were chosen, for the record

    def __post_init__(self) -> None:
        """Raise UsageError for an unknown dtype or no tokens."""
        if self.dtype is not None and self.dtype not in NUMPY_VIEW:
            raise UsageError(f"unknown dtype {self.dtype!r}: expected {', '.join(NUMPY_VIEW)}")
        if self.tokens is not None and not len(self.tokens):
            raise UsageError("no token is left to export")


@dataclass(frozen=True)
class ExportPlan:
    """An export before it starts: what the file will hold, and where in the run that lies."""

    run: Run
    index: RunIndex  # by which the sites are read
    layouts: tuple[SiteLayout, ...]
    labels: Labels
    units: tuple[Unit, ...]  # of the file
    sources: tuple[tuple[Unit, Indices], ...]  # of the run: for each unit of the file, its rows
    selection: Json

    @property
    def header(self) -> Json:
        """The part of the record that is known before a byte is read."""
        return {
            "run": self.run.id,
            "specification": self.run.specification,
            "description": self.run.description,
            "selection": self.selection,
            "labels_version": self.run.labels_version,
            "labels_digest": self.run.labels_digest,
            "units": [unit.to_list() for unit in self.units],
            **dict(zip(("pools", "members"), pool(self.origins), strict=True)),
        }

    @cached_property
    def origins(self) -> list[Origin]:
        """Where the numbers of each unit come from: the devices of the run."""
        devices = {str(commit.provenance.get("device", "?")) for commit in self.run.commits}
        return [Origin({"device": ", ".join(sorted(devices))})] * len(self.units)

    def read(self, index: int, site: str, number: int) -> npt.NDArray[Any]:
        """Return the rows of one block of a unit of the file, as they are to be stored.

        They are checked.
        """
        unit, rows = self.sources[index]
        layout = next(layout for layout in self.layouts if layout.site == site)
        dim = layout.dims[0]
        where = f"{site}[{dim} {number}]" if dim in BLOCK_DIMS else site
        values = rows_of(self.index, unit, site, number, check=True)
        return narrowed(values if len(rows) == len(values) else values[rows], layout.dtype, where)


def plan_export(run: Run, selection: Selection) -> ExportPlan:
    """Work out an export.

    Raises UsageError for a site or layer that is not there, IncompleteRun, DamagedStore.
    """
    dataset = run.dataset(selection.sites, check=True)
    if not dataset.data_vars:
        raise UsageError(
            f"run {run.name} has no complete site to export: run its `actlas extract` command again"
        )
    index = run.index.of(map(str, dataset.data_vars))
    tokens = selection.tokens
    sources = _sources(index, tokens)
    if index.kept != WHOLE:  # of which ``tokens`` are some
        kept = np.flatnonzero(np.concatenate([index.mask(unit) for unit in run.units]))
        tokens = kept if tokens is None else kept[tokens]
    labels = run.labels if tokens is None else _labels_of(run.labels, tokens)
    chosen = _blocks(dataset, selection.layers)
    layouts = []
    for site in dataset.data_vars:
        whole = layout_of(index, str(site)).narrow(labels.tokens)
        layouts.append(_chosen(whole, chosen, selection.dtype))
    units = _units(labels, [len(rows) for _, rows in sources])
    note = {
        "sites": [layout.site for layout in layouts],
        "layers": list(selection.layers) if selection.layers is not None else None,
        "dtype": selection.dtype,
        "tokens": selection.note if selection.tokens is not None else None,
        "of": run.limits.get("export"),
        **({"kept": index.kept_text} if index.kept != WHOLE else {}),
    }
    return ExportPlan(run, index, tuple(layouts), labels, tuple(units), tuple(sources), note)


def _sources(run: RunIndex, tokens: Indices | None) -> list[tuple[Unit, Indices]]:
    """Return the units of the run with chosen tokens, each with their places among what is read."""
    if tokens is None:
        tokens = np.arange(sum(run.sizes))
    starts = np.cumsum([0, *run.sizes])
    cuts = np.searchsorted(tokens, starts)
    kept = [
        tokens[a:b] - start for a, b, start in zip(cuts[:-1], cuts[1:], starts[:-1], strict=True)
    ]
    return [(unit, rows) for unit, rows in zip(run.units, kept, strict=True) if len(rows)]


def _units(labels: Labels, sizes: list[int]) -> list[Unit]:
    """Return units of ``sizes`` tokens each, of whole sentences, that follow each other."""
    # sentences up to the end of each
    ends = np.searchsorted(np.cumsum(labels.row_size), np.cumsum(sizes)) + 1
    firsts = [0, *(int(end) for end in ends[:-1])]
    return [
        Unit(number, first, int(end) - first, size)
        for number, (first, end, size) in enumerate(zip(firsts, ends, sizes, strict=True))
    ]


def _labels_of(labels: Labels, tokens: Indices) -> Labels:
    """Return the labels of ``tokens`` alone.

    Sentences are numbered again, a column says which of the run each was.
    """
    numbers, sizes = np.unique(labels.token["sentence"][tokens], return_counts=True)
    token = {name: array[tokens] for name, array in labels.token.items()}
    token["sentence"] = np.repeat(np.arange(len(numbers), dtype=np.int32), sizes)
    columns = {name: column[numbers] for name, column in labels.columns.items()}
    columns.setdefault(SENTENCE_IN_RUN, numbers.astype(np.int64))
    return Labels(
        token,
        sizes.astype(np.int32),
        tuple(labels.text[number] for number in numbers),
        columns,
        {name: column[tokens] for name, column in labels.token_columns.items()},
    )


def _blocks(dataset: xr.Dataset, layers: tuple[int, ...] | None) -> dict[str, list[int]]:
    """Return per dim of blocks the numbers of those that are kept."""
    held = {dim: dataset[dim].values for dim in BLOCK_DIMS if dim in dataset.dims}
    if layers is None:
        return {dim: numbers.tolist() for dim, numbers in held.items()}
    absent = sorted(set(layers) - set(layers_of(dataset)))
    if absent or not layers:
        known = ", ".join(map(str, layers_of(dataset))) or "none: these sites have no layers"
        raise UsageError(f"no layer {', '.join(map(str, absent))} to export: there is {known}")
    wanted = {
        "layer": set(layers),
        "depth": {depth for layer in layers for depth in (layer, layer + 1)},
    }
    return {
        dim: numbers[np.isin(numbers, list(wanted[dim]))].tolist() for dim, numbers in held.items()
    }


def _chosen(
    whole: SiteLayout, chosen: dict[str, list[int]], dtype: StoredDtype | None
) -> SiteLayout:
    kept = whole.take(chosen.get(whole.dims[0], ()))
    features = len(kept.shape) > 1 + kept.token_axis
    return replace(kept, dtype=dtype) if dtype and features else kept


def layers_of(dataset: xr.Dataset) -> list[int]:
    """Return the blocks of the model that a view holds.

    Their input and output are there, where it has depths.
    """
    if "layer" in dataset.coords:
        return [int(layer) for layer in dataset["layer"].values]
    depths = (
        {int(depth) for depth in dataset["depth"].values} if "depth" in dataset.coords else set()
    )
    return sorted(depth for depth in depths if depth + 1 in depths)


def narrowed(values: npt.NDArray[np.float32], dtype: StoredDtype, where: str) -> npt.NDArray[Any]:
    """Return float32 values as ``dtype`` is stored, bfloat16 as uint16, rounded to the nearest.

    Ties to even.

    Raises StoreError, naming ``where``, for a finite value that ``dtype`` does not reach.
    """
    if dtype == "float32":
        return values
    if dtype == "float16":
        with np.errstate(over="ignore"):
            stored = values.astype("<f2")
        lost = np.isinf(stored)
    else:
        bits = np.ascontiguousarray(values).view(np.uint32)
        stored = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
        stored = np.where(np.isnan(values), np.uint16(0x7FC0), stored)
        lost = (stored & 0x7FFF) == 0x7F80  # infinity
    lost &= np.isfinite(values)
    if lost.any():
        worst = float(np.abs(values[lost]).max())
        raise StoreError(
            f"{where} holds {worst:.6g}, which {dtype} does not reach: export it with another "
            "--dtype"
        )
    return stored

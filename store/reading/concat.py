"""Several runs on one axis of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.store.reading.sentence_index import SentenceError, SentenceIndex

RUN = "run"  # the coordinate that tells their tokens apart


def concat_runs(datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return views of several runs, or parts of them, behind one another along ``token``.

    ``sentence`` counts on from one to the next; ``run``, a further coordinate on ``token``, has the
    id of each token's run.
    datasets: as ``Run.dataset`` returns them, with the same sites, layers and columns.
    Raises SentenceError for what is not a view of a run, a run that comes twice, or a column called
    ``run``; ValueError, as ``xarray.concat`` does, where a column is missing in some or where
    layers differ.
    """
    indexes = [_index_of(dataset) for dataset in datasets]
    ids = [index.run for index in indexes]
    if not ids or len(set(ids)) < len(ids):
        raise SentenceError(
            f"expected each run once, got {', '.join(ids) or 'none'}: xarray.concat joins the "
            "parts of a run"
        )
    parts, numbers, wholes, first = [], list[npt.NDArray[np.int32]](), list[xr.Dataset](), 0
    for dataset, index in zip(datasets, indexes, strict=True):
        own = index.index.to_numpy()
        numbers.append(own + np.int32(first))
        labels = dataset.coords.to_dataset() if index.whole is None else index.whole
        wholes.append(_counted_on(labels, index.run, first))
        first += int(labels["sentence"].values.max(initial=-1)) + 1
        labelled = dataset.drop_vars("sentence").assign_coords(
            {RUN: ("token", np.full(len(own), index.run, dtype=object))}
        )
        parts.append(labelled)
    whole = xr.concat(
        parts,
        "token",
        data_vars="minimal",
        coords="minimal",
        compat="equals",
        join="exact",
        combine_attrs="drop_conflicts",
    )
    every = None
    if any(index.whole is not None for index in indexes):
        every = xr.concat(wholes, "token", coords="minimal", compat="equals", join="exact")
    sentences = "+".join(index.sentences for index in indexes)
    index = SentenceIndex.of_tokens(np.concatenate(numbers), "+".join(ids), sentences, every)
    return whole.assign_coords(xr.Coordinates(index.create_variables(), {"sentence": index}))


def _counted_on(labels: xr.Dataset, run: str, first: int) -> xr.Dataset:
    """Return the labels on ``token``, with ``run``, sentences counted from ``first`` on."""
    found = {name: label.variable for name, label in labels.coords.items() if "token" in label.dims}
    tokens = labels.sizes["token"]
    sentence = found["sentence"].values + np.int32(first)
    named = {"sentence": ("token", sentence), RUN: ("token", np.full(tokens, run, dtype=object))}
    return xr.Dataset(coords={**found, **named})


def _index_of(dataset: xr.Dataset) -> SentenceIndex:
    index = dataset.xindexes.get("sentence")
    if not isinstance(index, SentenceIndex) or index.dim != "token":
        raise SentenceError(
            "expected views of runs with 'sentence' on 'token', as Run.dataset returns them"
        )
    if RUN in dataset.variables:
        raise SentenceError(f"a view has {RUN!r} already: rename it first, ds.rename({RUN}='…')")
    return index

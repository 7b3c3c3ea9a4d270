"""Rows of a site as a dataset of rsatoolbox, for its noise ceilings and inference on models."""

from __future__ import annotations

from typing import Any

import numpy as np

from actlas.store.errors import UsageError
from actlas.store.reading.feeding import chosen_tokens, number_of
from actlas.store.reading.sources import layout_of
from actlas.store.runs.run import Run


def dataset_of(run: Run, site: str, layer: int | None, where: Any) -> Any:
    """Return an ``rsatoolbox.data.Dataset``; see ``Run.to_rsatoolbox``."""
    try:
        from rsatoolbox.data import Dataset
    except ImportError as error:
        raise UsageError("to_rsatoolbox needs rsatoolbox: pip install rsatoolbox") from error
    run.require(site)
    index = run.index.of((site,))
    number = number_of(run, layout_of(index, site), layer)
    tokens = chosen_tokens(where, sum(index.sizes))
    rows = run.dataset(site)[site]
    rows = (rows if layer is None else rows.sel({rows.dims[0]: number})).isel(token=tokens)
    # (token, feature): heads one after the other
    measurements = rows.values.reshape(len(tokens), -1).astype(np.float64)
    labels = {
        str(name): list(label.values)
        for name, label in rows.coords.items()
        if label.dims == ("token",)
    }
    return Dataset(
        measurements,
        descriptors={"run": run.id, "site": site, "layer": layer},
        obs_descriptors={"token": tokens.tolist(), **labels},
    )

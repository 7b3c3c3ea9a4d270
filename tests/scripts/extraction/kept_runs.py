"""Runs that keep some tokens, and what they are compared with: the whole run."""

import numpy as np
import pandas as pd

import actlas
from tests.small_model import TEXTS

UNIT = 45  # padded tokens: three units of these texts
LABELS = {"text": list(TEXTS), "kind": ["a", "b", "a", "b", "a"]}
EDIT = "scale:site=mlp_out,layer=1,factor=2"


def extracted(place, model, name, **options):
    return actlas.extract(
        _table(), str(model), store=place, name=name, unit_tokens=UNIT, quiet=True, readout=False,
        **options,
    )  # fmt: skip


def _table():
    return pd.DataFrame(LABELS)


def keys(dataset):
    return list(zip(dataset["sentence"].values, dataset["position"].values, strict=True))


def rows_of(whole, part):
    """Return where the tokens of ``part`` are among those of ``whole``."""
    known = {key: row for row, key in enumerate(keys(whole))}
    return [known[key] for key in keys(part)]


def same(part, whole):
    """Compare all numbers and labels of a view with those of the whole run."""
    rows = rows_of(whole, part)
    assert len(set(rows)) == len(rows) == part.sizes["token"]
    there = whole.isel(token=rows)
    for site, array in part.data_vars.items():
        where = {dim: part[dim].values for dim in ("layer", "depth") if dim in array.dims}
        np.testing.assert_array_equal(array.values, there[site].sel(where).values)
    for name in ("token_id", "char_start", "char_end", "text", "kind", "special"):
        assert part[name].values.tolist() == there[name].values.tolist()
    return rows


def ends(whole):
    numbers = whole.dataset("nll")["sentence"].values
    return np.flatnonzero(np.diff(numbers, append=-1)).tolist()

"""Groups of tokens that are looked at apart.

The first of each sentence, the others, a word, the labels of a column.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from actlas.analysis.data.apart import FIRST as FIRST
from actlas.analysis.data.apart import LATER as LATER
from actlas.analysis.data.apart import SPECIAL as SPECIAL
from actlas.analysis.data.apart import tokens_apart as tokens_apart
from actlas.analysis.data.tokens import Selection
from actlas.store.errors import UsageError, unknown
from actlas.store.labels.labels import TOKEN_LABELS

Groups = Mapping[str, npt.NDArray[np.int64]]

OWN_LABELS = (*TOKEN_LABELS, "special", "text")  # that every run has; not the user's
MOST_VALUES = 24  # of a column, to be distinguished in a figure


def token_groups(
    labels: xr.Dataset, *, by: str | None = None, selection: Selection | None = None
) -> Groups:
    """Return the indices along ``token`` of each group; groups may share tokens.

    labels: Dataset with ``position`` and columns on ``token``. by: a column, a group for each of
    its values. selection: a target word and its controls. The first token of a sentence, whose
    activations are an order of magnitude larger, is a group of its own and in no other but the
    target's; so are the special tokens behind it, where there are any. Raises UsageError for an
    unknown column, or one with too many values to be labels.
    """
    groups = {name: np.flatnonzero(mask) for name, mask in tokens_apart(labels).items()}
    if selection is not None:
        groups |= {"target": selection.target_token, "control": selection.control_token}
    if by is not None:
        groups |= _by_column(labels, by, groups[LATER])
    return groups


def _by_column(
    labels: xr.Dataset, by: str, later: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.int64]]:
    columns = [
        str(name)
        for name, label in labels.coords.items()
        if label.dims == ("token",) and name not in OWN_LABELS
    ]
    if by not in columns:
        raise unknown("label column", by, columns)
    codes, values = pd.factorize(labels[by].values, sort=True, use_na_sentinel=False)
    if len(values) > MOST_VALUES:
        raise UsageError(
            f"label column {by!r} has {len(values)} values, expected at most {MOST_VALUES}: choose "
            f"one that sorts the sentences"
        )
    return {f"{by}={value}": later[codes[later] == code] for code, value in enumerate(values)}

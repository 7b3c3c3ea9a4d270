"""Views of a run that keeps some of its tokens: labels of all of them, and where each has rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.sentences import Indices
from actlas.store.errors import UsageError, quoted
from actlas.store.reading.sentence_index import SentenceIndex


def all_labels(view: xr.Dataset | xr.DataArray) -> xr.Dataset | None:
    """Return the labels of all tokens of the run, None where ``view`` was made with all of them."""
    index = view.xindexes.get("sentence")
    return index.whole if isinstance(index, SentenceIndex) else None


def with_places(view: xr.Dataset) -> tuple[xr.Dataset, Indices | None]:
    """Return the labels that conditions look at, and the place in ``view`` of each of their tokens.

    -1 is that of a token without rows; None where the labels are those of the view.
    """
    whole = all_labels(view)
    if whole is None:
        return view, None
    order = _keys(view, whole)
    places = np.full(whole.sizes["token"], -1)
    every = _keys(whole, whole)  # ascending, as sentences and positions are
    places[np.searchsorted(every, order)] = np.arange(len(order))
    return whole, places


def refuse_kept(view: xr.Dataset, what: str) -> None:
    """Raise UsageError, naming ``what`` takes whole sentences, where ``view`` lacks tokens."""
    if all_labels(view) is not None:
        kept = quoted(str(view.attrs.get("tokens", "some")))
        raise UsageError(
            f"{what} takes all tokens of a sentence, and those of {kept} alone are kept: "
            "`actlas extract` without --tokens adds the others"
        )


def of_same_tokens(views: Sequence[xr.Dataset], names: Sequence[str]) -> list[xr.Dataset]:
    """Return the views of runs of the same sentences at the tokens that all of them have.

    They are as they were where none keeps some of its tokens alone. Raises UsageError where there
    is no such token.
    """
    wholes = [whole for view in views if (whole := all_labels(view)) is not None]
    if not wholes:
        return list(views)
    keys = [_keys(view, wholes[0]) for view in views]
    common = reduce(np.intersect1d, keys)
    if not len(common):
        raise UsageError(f"no token is kept of all runs ({', '.join(names)})")
    text = next(view.attrs["tokens"] for view in views if "tokens" in view.attrs)
    found = []
    for view, key in zip(views, keys, strict=True):
        part = view.isel(token=np.flatnonzero(np.isin(key, common)))
        index = part.xindexes["sentence"]
        if isinstance(index, SentenceIndex):
            numbers = part["sentence"].values
            index = SentenceIndex.of_tokens(numbers, index.run, index.sentences, wholes[0])
            coordinates = xr.Coordinates(index.create_variables(), {"sentence": index})
            part = part.drop_vars("sentence").assign_coords(coordinates)
        found.append(part.assign_attrs(tokens=part.attrs.get("tokens", text)))
    return found


def _keys(view: xr.Dataset, whole: xr.Dataset) -> npt.NDArray[np.int64]:
    """Return a number for each token, the same for that token in all views of its run."""
    reach = int(whole["position"].values.max()) + 1
    sentence, position = (view[name].values.astype(np.int64) for name in ("sentence", "position"))
    found: npt.NDArray[np.int64] = sentence * reach + position
    return found

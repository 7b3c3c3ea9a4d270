"""The xarray index on ``sentence``: selects the tokens of sentences.

It keeps those of different sentences apart.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from xarray import DataArray, Dataset, Variable
from xarray.core.indexing import IndexSelResult
from xarray.indexes import Index, PandasIndex

from actlas.store.errors import UsageError

FEW = 5  # sentences that a message names


class SentenceError(UsageError, ValueError):
    """Tokens of different sentences were about to be taken for tokens of the same.

    The message is one line.
    """


class SentenceIndex(PandasIndex):
    """Sentences of the tokens along a dimension, with what their numbers mean.

    run: id of the run. sentences: equal in runs whose numbers mean the same sentences, such as a
    baseline and its variants. whole: labels of all tokens of the run, where the view has only those
    that are kept: conditions on tokens look at these too.
    """

    __slots__ = ("run", "sentences", "whole")

    run: str
    sentences: str
    whole: Dataset | None

    def __init__(
        self,
        array: Any,
        dim: Hashable,
        coord_dtype: Any = None,
        *,
        fastpath: bool = False,
        run: str = "",
        sentences: str = "",
        whole: Dataset | None = None,
    ) -> None:
        super().__init__(array, dim, coord_dtype, fastpath=fastpath)
        self.run, self.sentences, self.whole = run, sentences, whole

    @classmethod
    def of_tokens(
        cls,
        numbers: npt.NDArray[np.int32],
        run: str,
        sentences: str,
        whole: Dataset | None = None,
    ) -> SentenceIndex:
        """Return the index of a view: ``numbers`` (token,) are kept and not copied."""
        index, known = pd.Index(numbers, name="sentence", copy=False), (run, sentences, whole)
        return cls(index, "token", numbers.dtype, fastpath=True)._of(*known)

    def _of(self, run: str, sentences: str, whole: Dataset | None) -> Self:
        self.run, self.sentences, self.whole = run, sentences, whole
        return self

    def _replace(self, index: pd.Index, dim: Hashable = None, coord_dtype: Any = None) -> Self:
        dim = self.dim if dim is None else dim
        coord_dtype = self.coord_dtype if coord_dtype is None else coord_dtype
        made = type(self)(index, dim, coord_dtype, fastpath=True)
        return made._of(self.run, self.sentences, self.whole)

    def create_variables(
        self, variables: Mapping[Any, Variable] | None = None
    ) -> dict[Any, Variable]:
        """Return the coordinate as a plain variable.

        ``map_blocks`` takes no other off the axis of its own name.
        """
        ((name, made),) = super().create_variables(variables).items()
        return {
            name: Variable(
                made.dims, self.index.to_numpy(), made.attrs, made.encoding, fastpath=True
            )
        }

    @classmethod
    def concat(
        cls,
        indexes: Sequence[Self],
        dim: Hashable,
        positions: Iterable[Iterable[int]] | None = None,
    ) -> Self:
        """Join the tokens of one run; raises SentenceError for those of several."""
        runs = {(index.run, index.sentences) for index in indexes}
        if len(runs) > 1:
            raise SentenceError(
                f"cannot concatenate tokens of {len(runs)} runs along {dim!r}: equal numbers in "
                "'sentence' would stand for "
                "different sentences; use actlas.store.reading.concat.concat_runs, which numbers "
                "them again"
            )
        made = super().concat(indexes, dim, positions)
        (run, sentences), *_ = runs or {("", "")}
        return made._of(run, sentences, indexes[0].whole if indexes else None)

    def equals(self, other: Index, **options: Any) -> bool:
        """Whether both are of the same sentences, token by token."""
        same = isinstance(other, SentenceIndex) and other.sentences == self.sentences
        return same and bool(super().equals(other, **options))

    def join(self, other: Self, how: str = "inner") -> Self:
        """Raise SentenceError: rows of different sentences are no partners of each other."""
        self._refuse(other)

    def reindex_like(
        self, other: Self, method: Any = None, tolerance: Any = None
    ) -> dict[Hashable, Any]:
        """Raise SentenceError: a sentence has several tokens, so there is no row for a number."""
        self._refuse(other)

    def _refuse(self, other: Any) -> NoReturn:
        if isinstance(other, SentenceIndex) and other.sentences != self.sentences:
            problem = f"those of runs {self.run} and {other.run} differ"
        else:
            problem = f"{_first(self)} and {_first(other)}"
        raise SentenceError(
            f"cannot align tokens of different sentences along {self.dim!r} ({problem}): select "
            "the same sentences first, or, "
            "for pairs in order, drop the label from both: x.drop_vars('sentence')"
        )

    def sel(
        self, labels: dict[Any, Any], method: Any = None, tolerance: Any = None
    ) -> IndexSelResult:
        """Select all tokens of a sentence, of several in the order given.

        A slice has both ends; the dim is never dropped.

        Raises KeyError for a sentence without tokens, SentenceError for what names no sentences.
        """
        ((name, label),) = labels.items()
        if method is not None or tolerance is not None:
            raise SentenceError(
                f"sel({name}=…) takes no method and no tolerance: sentences have no nearest one"
            )
        numbers = self.index.to_numpy()
        if isinstance(label, slice):
            return IndexSelResult({self.dim: _within(numbers, name, label)})
        if isinstance(label, DataArray | Variable) and label.dtype.kind != "b" and label.ndim:
            raise SentenceError(
                f"sel({name}=…) got an array with dims {label.dims}, expected a number, a slice "
                "or a list of sentences: "
                "give np.unique(labels) for each once"
            )
        wanted = np.asarray(label)
        if wanted.dtype.kind == "b":
            if wanted.shape != numbers.shape:
                raise SentenceError(
                    f"sel({name}=…) got a mask of shape {wanted.shape}, expected ({len(numbers)},)"
                )
            return IndexSelResult({self.dim: np.flatnonzero(wanted)})
        return IndexSelResult({self.dim: _tokens_of(numbers, name, wanted)})


def _first(index: PandasIndex) -> str:
    numbers = index.index.to_numpy()
    shown = ", ".join(map(str, numbers[:FEW].tolist()))
    return f"{len(numbers)} tokens of {shown}{', …' if len(numbers) > FEW else ''}"


def _within(numbers: npt.NDArray[Any], name: Hashable, part: slice) -> npt.NDArray[np.intp]:
    """Return the tokens of the sentences from ``part.start`` to ``part.stop``, both included."""
    if part.step is not None:
        raise SentenceError(
            f"sel({name}=…) got a slice with step {part.step!r}, expected one without: give a list"
        )
    kept = np.ones(len(numbers), dtype=bool)
    if part.start is not None:
        kept &= numbers >= part.start
    if part.stop is not None:
        kept &= numbers <= part.stop
    return np.flatnonzero(kept)


def _tokens_of(
    numbers: npt.NDArray[Any], name: Hashable, wanted: npt.NDArray[Any]
) -> slice | npt.NDArray[np.intp]:
    """Return the tokens of the sentences ``wanted``, in their order.

    A slice where one of them follows the other.
    """
    if wanted.ndim > 1 or (wanted.size and wanted.dtype.kind not in "iuf"):
        raise SentenceError(
            f"sel({name}=…) got {str(wanted.tolist())[:50]!r}, expected numbers of sentences"
        )
    ascending = bool(np.all(numbers[1:] >= numbers[:-1]))
    order = None if ascending else np.argsort(numbers, kind="stable")
    ordered = numbers if order is None else numbers[order]
    each = np.atleast_1d(wanted)
    starts, ends = np.searchsorted(ordered, each, "left"), np.searchsorted(ordered, each, "right")
    if np.any(starts == ends):
        missing = ", ".join(str(number) for number in each[starts == ends][:FEW].tolist())
        known = f"{ordered[0]} to {ordered[-1]}" if len(ordered) else "none"
        raise KeyError(f"no token of sentence {missing} here: there are those of {known}")
    if wanted.ndim == 0 and order is None:
        return slice(int(starts[0]), int(ends[0]))
    ranges = [np.arange(start, end) for start, end in zip(starts, ends, strict=True)]
    found: npt.NDArray[np.intp] = np.concatenate([np.empty(0, dtype=np.intp), *ranges])
    return found if order is None else order[found]

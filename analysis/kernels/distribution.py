"""Mean, quantiles and largest of values that come part by part, and are never negative.

Few values are kept, and their quantiles are those of NumPy. Of more, values are counted in bins
that lie as floats do: BITS of the mantissa, so that a bin is as wide everywhere relative to what is
in it. Counts add up exactly: the result depends neither on the order of parts nor on a seed, and a
quantile is off by at most ERROR of itself. (A histogram of DDSketch's kind, Masson et al. 2019.)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

BITS = 12  # of the mantissa, so that an octave has 4096 bins
ERROR = 2.0 ** -(BITS + 1)  # half a bin, of the value
EXACT = 1 << 20  # values of a task that are kept as they are: 8 MB
PENDING = 1 << 16  # codes that wait to be sorted into the bins
_SHIFT = 52 - BITS
_CODES = 1 << (11 + BITS)  # of a series: exponent and BITS of the mantissa
_SMALLEST = float(np.finfo(np.float64).tiny)  # what is below is counted as 0


class Distribution:
    """The values of several series, such as the heads of a layer.

    size: of each series, how many values will come. exact: keep them all.
    """

    def __init__(self, size: int, series: int, *, exact: bool) -> None:
        self._seen, self._series = 0, series
        self._sum = np.zeros(series)
        self._least, self._most = np.full(series, np.inf), np.full(series, -np.inf)
        self._kept: Floats | None = np.empty((size, series)) if exact else None
        self._pending: list[Codes] = []
        self._codes, self._counts = np.empty(0, np.int64), np.empty(0, np.int64)

    def add(self, values: Floats) -> None:
        """Take in ``values`` (value, series), float64, 0 or more; NaN makes all NaN."""
        if not len(values):
            return
        before, self._seen = self._seen, self._seen + len(values)
        self._sum += values.sum(0)
        self._least = np.minimum(self._least, values.min(0))
        self._most = np.maximum(self._most, values.max(0))
        if self._kept is not None:
            self._kept[before : self._seen] = values
            return
        codes = np.where(values < _SMALLEST, 0.0, values).view(np.int64) >> _SHIFT
        codes += np.arange(self._series) * _CODES
        self._pending.append(codes.ravel())
        if sum(map(len, self._pending)) >= PENDING:
            self._sort()

    def statistics(self, quantiles: tuple[float, ...]) -> Floats:
        """Return mean, ``quantiles`` and largest of each series: (series, 2 + quantile)."""
        if not self._seen:
            return np.full((self._series, len(quantiles) + 2), np.nan)
        with np.errstate(invalid="ignore"):  # between two infinite ones
            if self._kept is not None:
                found = np.quantile(self._kept[: self._seen], quantiles, axis=0).T
            else:
                found = self._quantiles(quantiles)
        mean = self._sum / self._seen
        return np.concatenate([mean[:, None], found, self._most[:, None]], axis=1)

    def _sort(self) -> None:
        """Count the codes that wait."""
        codes, counts = np.unique(np.concatenate(self._pending), return_counts=True)
        every = np.concatenate([self._codes, codes])
        self._codes, place = np.unique(every, return_inverse=True)
        weights = np.concatenate([self._counts, counts])
        self._counts = np.zeros(len(self._codes), np.int64)
        np.add.at(self._counts, place, weights)
        self._pending = []

    def _quantiles(self, quantiles: tuple[float, ...]) -> Floats:
        """Return (series, quantile), between order statistics as NumPy's default is."""
        if self._pending:
            self._sort()
        ranks = np.array(quantiles) * (self._seen - 1)
        low = np.floor(ranks).astype(np.int64)
        high, share = np.minimum(low + 1, self._seen - 1), ranks - low
        found = np.empty((self._series, len(quantiles)))
        edges = np.searchsorted(self._codes, np.arange(self._series + 1) * _CODES)
        for number in range(self._series):
            part = slice(edges[number], edges[number + 1])
            ends = np.cumsum(self._counts[part])
            middles = _middles(self._codes[part] - number * _CODES)
            middles = middles.clip(self._least[number], self._most[number])
            one, other = (middles[np.searchsorted(ends, each, "right")] for each in (low, high))
            found[number] = np.where(share > 0, one + (other - one) * share, one)
        return np.where(np.isnan(self._most)[:, None], np.nan, found)


def _middles(codes: Codes) -> Floats:
    """Return the middle of each bin; that of 0 is 0, that of infinity infinite."""
    edges: Floats = (codes << _SHIFT).view(np.float64)
    middles = ((codes << _SHIFT) + (1 << (_SHIFT - 1))).view(np.float64)
    return np.where((codes == 0) | ~np.isfinite(edges), edges, middles)

"""Study 2, laminar correlation.

Pearson's r between consecutive depths of the residual stream, outliers masked.

A few dimensions, mostly of the first token, are so large that they alone make r. The mask keeps an
entry (token, dimension) where |value| is below a cut at both depths. A quantile's cut is known at
the end of the pass only; so moments are kept apart by level of max(|h[d]|, |h[d+1]|), sixteen to a
doubling, and the levels below the cut are merged then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.apart import later_tokens
from actlas.analysis.groups.resampling import Resampling, group_means, mean_draws
from actlas.analysis.kernels.moments import FIELDS, correlation, merged, moments
from actlas.analysis.kernels.streaming import MERGED, Floats, Indices, by_place, by_token, tiles
from actlas.analysis.norms.depths import span, stored_layers
from actlas.store.errors import UsageError

#: float64's exponent and the first four bits of its mantissa number the levels
DROPPED_BITS = 48
MOST_ENTRIES = 1 << 21  # of a pair of depths that are drawn
LOWEST, HIGHEST = (
    int(np.float64(size).view(np.int64)) >> DROPPED_BITS for size in (2.0**-24, 2.0**20)
)


@dataclass(frozen=True)
class Mask:
    """Which entries are left out.

    Those above a quantile or a threshold of |value|, and first tokens unless they are asked for.
    """

    quantile: float | None = 0.99  # share of the entries kept, at least; 1 keeps all
    threshold: float | None = None  # instead of a quantile
    first_token: bool = True  # whether first and special tokens take part

    def __post_init__(self) -> None:
        """Raise UsageError for what is not a quantile or no threshold, or for none or both."""
        if (self.quantile is None) == (self.threshold is None):
            given = "neither" if self.quantile is None else "both"
            raise UsageError(
                f"{given} of --quantile and --threshold given: expected one, to mask the largest "
                f"values"
            )
        if self.quantile is not None and not 0 < self.quantile <= 1:
            raise UsageError(
                f"--quantile is {self.quantile:g}, expected above 0 and at most 1 (1 masks nothing)"
            )
        if self.threshold is not None and not self.threshold > 0:
            raise UsageError(f"--threshold is {self.threshold:g}, expected above 0")

    @property
    def cuts(self) -> Floats:
        """Upper bounds, exclusive, of all levels; the last has none. A threshold has two levels."""
        if self.threshold is not None:
            return np.array([self.threshold, np.inf])
        return np.append(
            (np.arange(LOWEST + 1, HIGHEST + 1) << DROPPED_BITS).view(np.float64), np.inf
        )

    def levels(self, size: Floats) -> npt.NDArray[np.int64]:
        """Return the level of each size, which is never below 0.

        It is the first level whose cut is above the size.
        """
        if self.threshold is not None:
            return (size >= self.threshold).astype(np.int64)
        levels: npt.NDArray[np.int64] = (
            np.clip(size.view(np.int64) >> DROPPED_BITS, LOWEST, HIGHEST) - LOWEST
        )
        return levels

    def __str__(self) -> str:
        """Say what is kept."""
        kept = (
            f"|value| < {self.threshold:g}"
            if self.threshold is not None
            else f"{self.quantile:.4%} of the entries".replace("00%", "%")
        )
        return kept + ("" if self.first_token else ", without first tokens")


def laminar_correlation(resid: xr.DataArray, mask: Mask) -> xr.Dataset:
    """Pearson's r over tokens and dimensions between depth d and d + 1, for all d; lazy, float64.

    resid: (depth, token, d_model) with ``position`` on ``token``. Returns (pair) with ``pair`` = d:
    ``laminar_correlation`` of the entries kept, ``unmasked_correlation`` of all of the tokens that
    take part, ``excluded_share`` of all entries of the run, and ``cut``, the |value| from which on
    an entry is left out. A quantile keeps at least its share of the entries that take part; its cut
    is the least that does, to a sixteenth of itself. Source: study 2.
    """
    takes_part = (
        np.ones(resid.sizes["token"], dtype=bool) if mask.first_token else later_tokens(resid)
    )
    plain, (lower, pairs) = (
        resid.drop_vars(list(resid.coords)).rename(depth="pair"),
        stored_layers(resid),
    )
    below, above = plain.isel(pair=span(lower)), plain.isel(pair=span(lower + 1))
    levels = len(mask.cuts)
    kernel = partial(_kernel, mask=mask, takes_part=takes_part)
    found = by_place(kernel, partial(_merge, levels=levels), len(FIELDS) * levels, below, above)
    entries = resid.sizes["token"] * resid.sizes["d_model"]
    numbers = xr.apply_ufunc(
        partial(_masked, mask=mask, entries=entries),
        found,
        input_core_dims=[["quantity"]],
        output_core_dims=[["number"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"number": 4}},
    )
    names = {
        "laminar_correlation": f"Pearson's r between depth pair and pair + 1, of {mask}",
        "unmasked_correlation": "Pearson's r between depth pair and pair + 1, nothing masked",
        "excluded_share": "share of the run's entries left out",
        "cut": "|value| from which on an entry is left out",
    }
    result = xr.Dataset({name: numbers.isel(number=number) for number, name in enumerate(names)})
    for name, meaning in names.items():
        result[name].attrs["long_name"] = meaning
    return result.assign_coords(pair=pairs)


def group_correlation(
    resid: xr.DataArray, groups: Mapping[str, Indices], drawn: Resampling | None = None
) -> xr.Dataset:
    """Pearson's r between depth d and d + 1 over the tokens of each group, nothing masked.

    resid: as ``laminar_correlation`` takes it. Returns ``group_correlation`` (group, pair), lazy,
    float64, and with ``drawn`` the same of clusters drawn again, ``draws`` (resample, group, pair).
    Sums over dimensions are taken of each token, so that whole tokens can be drawn.
    """
    plain, (lower, pairs) = (
        resid.drop_vars(list(resid.coords)).rename(depth="pair"),
        stored_layers(resid),
    )
    below, above = plain.isel(pair=span(lower)), plain.isel(pair=span(lower + 1))
    sums = by_token(_token_sums, 5, below, above).assign_coords(pair=pairs)
    width = resid.sizes["d_model"]
    mean = group_means(sums, groups, skipna=False)
    found = xr.Dataset({"group_correlation": _r_of_means(mean, width)})
    meaning = "Pearson's r between depth pair and pair + 1 over the group's tokens, nothing masked"
    found["group_correlation"].attrs["long_name"] = meaning
    if drawn is None:
        return found
    return found.assign(draws=_r_of_means(mean_draws(sums, groups, drawn), width))


def _token_sums(below: Floats, above: Floats) -> Floats:
    """Return Σx, Σy, Σx², Σy², Σxy over the dimensions of each row: (quantity, row)."""
    squares = [np.vecdot(x, y) for x, y in ((below, below), (above, above), (below, above))]
    return np.stack([below.sum(1), above.sum(1), *squares])


def _r_of_means(means: xr.DataArray, width: int) -> xr.DataArray:
    """Return Pearson's r of sums over dimensions, averaged over tokens: (…, quantity) → (…)."""
    x, y, xx, yy, xy = (means.isel(quantity=number) / width for number in range(5))
    spread = (xx - x * x).clip(0) * (yy - y * y).clip(0)
    r: xr.DataArray = (xy - x * y) / spread.where(spread > 0) ** 0.5
    return r.clip(-1, 1)


def _kernel(
    tokens: Indices,
    below: npt.NDArray[Any],
    above: npt.NDArray[Any],
    *,
    mask: Mask,
    takes_part: npt.NDArray[np.bool_],
) -> Floats:
    """Return the moments of a block's entries by level: (field · level,)."""
    rows, levels = np.flatnonzero(takes_part[tokens]), len(mask.cuts)
    found = [np.zeros((len(FIELDS), levels))]
    # what is infinite has no mean; its level has none, and the others do
    with np.errstate(invalid="ignore"):
        for _, (x, y) in tiles(below[rows], above[rows]):
            level = mask.levels(np.maximum(np.abs(x), np.abs(y)).ravel())
            found.append(moments(x.ravel(), y.ravel(), level, levels))
            if len(found) > MERGED:
                found = [merged(np.array(found))]
        return merged(np.array(found)).ravel()


def _merge(parts: Floats, levels: int) -> Floats:
    return merged(parts.reshape(len(parts), len(FIELDS), levels)).ravel()


def _masked(found: Floats, mask: Mask, entries: int) -> Floats:
    """Return r of the entries kept, r of all, the share left out and the cut: (pair, number)."""
    cuts, numbers = mask.cuts, []
    for by_level in found.reshape(len(found), len(FIELDS), len(cuts)):
        upto = np.cumsum(by_level[0])
        kept = (
            1
            if mask.quantile is None
            else 1 + int(np.searchsorted(upto, mask.quantile * upto[-1], side="left"))
        )
        inside, everything = (
            merged(np.moveaxis(part, -1, 0)) for part in (by_level[:, :kept], by_level)
        )
        r, unmasked = correlation(inside), correlation(everything)
        numbers.append((r, unmasked, 1 - inside[0] / entries, cuts[kept - 1]))
    return np.array(numbers)


def pair_entries(resid: xr.DataArray, pair: int, mask: Mask) -> tuple[Floats, Floats, str]:
    """Return the entries of depth ``pair`` and the next that take part, flat, and a note.

    Of a large run those of every so many tokens: about MOST_ENTRIES of each depth.
    """
    tokens = np.arange(resid.sizes["token"])
    if not mask.first_token:
        tokens = np.flatnonzero(later_tokens(resid))
    step = max(1, -(-len(tokens) * resid.sizes["d_model"] // MOST_ENTRIES))
    drawn = resid.sel(depth=[pair, pair + 1]).isel(token=tokens[::step]).values.astype(np.float64)
    note = "every entry (token, dimension)" if step == 1 else f"entries of every {step}th token"
    note += "" if mask.first_token else " but first ones"
    return drawn[0].ravel(), drawn[1].ravel(), note

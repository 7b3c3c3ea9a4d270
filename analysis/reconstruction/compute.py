"""Study 2, reconstruction: a layer is a sum, h[l+1] = h[l] + attn_out[l] + mlp_out[l].

How well stored numbers keep to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.kernels.moments import correlation, merged, moments_of_all
from actlas.analysis.kernels.streaming import Floats, Indices, by_place, tiles
from actlas.analysis.norms.depths import span, stored_layers
from actlas.store.errors import UsageError
from actlas.store.format.edit_records import EditRecord

#: what a float of each dtype rounds away at most, relative; and its smallest step, absolute
ROUNDING = {
    "float32": (2.0**-24, 2.0**-149),
    "float16": (2.0**-11, 2.0**-24),
    "bfloat16": (2.0**-8, 2.0**-133),
}
MARGIN = 2.0  # of the bound, whose terms are themselves rounded

#: the sums that are looked at: the whole layer, and its two halves where ``resid_mid`` is stored
WHOLE, ATTENTION, MLP = "layer", "attention half", "MLP half"

#: the numbers of a block of a run
MEASURES = ("error", "output", "max_abs_error", "rounding", "error_token", "error_dimension")


@dataclass(frozen=True)
class Precision:
    """What rounding may do to the sum.

    It follows from the dtype of the computation and the dtype of the store.
    """

    computed: str = "float32"
    stored: str = "float32"

    def __post_init__(self) -> None:
        """Raise UsageError for a dtype whose rounding is not known."""
        for dtype in (self.computed, self.stored):
            if dtype not in ROUNDING:
                raise UsageError(f"unknown dtype {dtype!r}: expected {', '.join(ROUNDING)}")

    @property
    def relative(self) -> float:
        """Most of |h[l]| + |attn_out| + |mlp_out| + |h[l+1]| that rounding takes or adds.

        Two additions round once each; where the store is narrower than the computation, so does
        every number in it.
        """
        computed, stored = ROUNDING[self.computed][0], ROUNDING[self.stored][0]
        return MARGIN * (computed + (stored if stored > computed else 0))

    @property
    def absolute(self) -> float:
        """Most that rounding adds to numbers near zero."""
        return 4 * max(ROUNDING[self.computed][1], ROUNDING[self.stored][1])

    def __str__(self) -> str:
        """Name the dtypes."""
        return (
            self.stored
            if self.stored == self.computed
            else f"{self.stored} computed in {self.computed}"
        )


def reconstruction(dataset: xr.Dataset, precision: Precision, *, halves: bool = True) -> xr.Dataset:
    """How far each layer's output is from the sum of its parts; lazy, float64.

    The parts are its input and what its attention and MLP write.

    dataset: ``resid`` (depth, token, d_model), ``attn_out``, ``mlp_out`` (layer, token, d_model);
    with ``resid_mid`` the sums of both halves too, unless ``halves`` is False, as where attention
    and MLP read the same input. Returns (sum, layer): ``max_abs_error``;
    ``relative_error``, Frobenius, of the output; ``correlation``, Pearson's r of output and sum;
    ``rounding``, the largest error of a number as a multiple of what ``precision`` may round at
    that place, so that the sum holds where it is at most 1; and where that is, ``error_token`` (of
    the run) and ``error_dimension``. Of an export, the layers that have input, output and both
    parts. Source: study 2.
    """
    lower, whole = stored_layers(dataset["resid"])
    stored = (
        dataset["layer"].values if "layer" in dataset.coords else np.arange(dataset.sizes["layer"])
    )
    layers, at, where = np.intersect1d(whole, stored, return_indices=True)
    before = _blocks(dataset["resid"].isel(depth=span(lower[at])))
    after = _blocks(dataset["resid"].isel(depth=span(lower[at] + 1)))
    attention, mlp = (
        _blocks(dataset[site].isel(layer=span(where))) for site in ("attn_out", "mlp_out")
    )
    sums: dict[str, tuple[xr.DataArray, ...]] = {WHOLE: (after, before, attention, mlp)}
    if halves and "resid_mid" in dataset:
        middle = _blocks(dataset["resid_mid"].isel(layer=span(where)))
        sums |= {ATTENTION: (middle, before, attention), MLP: (after, middle, mlp)}
    parts = [_measures(arrays, precision) for arrays in sums.values()]
    result = xr.concat(parts, xr.Variable("sum", list(sums))).assign_coords(layer=layers)
    result["max_abs_error"].attrs["long_name"] = "largest |output - sum of its parts|"
    result["relative_error"].attrs["long_name"] = (
        "Frobenius norm of output - sum, relative to that of the output"
    )
    result["correlation"].attrs["long_name"] = (
        "Pearson's r of output and sum over tokens and dimensions"
    )
    result["rounding"].attrs["long_name"] = (
        f"largest error as a multiple of what rounding allows ({precision})"
    )
    return result


def edited_layers(edits: Sequence[EditRecord]) -> list[int]:
    """Return the layers whose output an edit changed: their sum cannot hold.

    At any other site, what is stored is the value after the edit, which is what the layer adds up.
    """
    return sorted({edit.edited_layer for edit in edits if edit.edited_layer is not None})


def broken(result: xr.Dataset, edited: Sequence[int] = ()) -> list[tuple[str, int]]:
    """Return the sums that do not hold, as (sum, layer).

    result: computed, of ``reconstruction``. edited: layers that are left out.
    """
    holds = result["rounding"].transpose("sum", "layer").values <= 1  # of NaN: False
    names, layers = [str(name) for name in result["sum"].values], result["layer"].values
    found = [(names[number], int(layers[place])) for number, place in np.argwhere(~holds)]
    return [(name, layer) for name, layer in found if layer not in edited]


def _blocks(array: xr.DataArray) -> xr.DataArray:
    """Return ``array`` as (layer, token, d_model) without labels."""
    plain = array.drop_vars(list(array.coords))
    return plain.rename(depth="layer") if "depth" in plain.dims else plain


def _measures(arrays: Sequence[xr.DataArray], precision: Precision) -> xr.Dataset:
    kernel = partial(_kernel, relative=precision.relative, absolute=precision.absolute)
    found = by_place(kernel, _merge, len(MEASURES) + 6, *arrays)
    measures = {name: found.isel(quantity=number) for number, name in enumerate(MEASURES)}
    error, output = measures.pop("error"), measures.pop("output")
    together = found.isel(quantity=slice(len(MEASURES), None))
    r = xr.apply_ufunc(
        _correlations,
        together,
        input_core_dims=[["quantity"]],
        dask="parallelized",
        output_dtypes=[np.float64],
    )
    relative = (error / output.where(output > 0)) ** 0.5
    places = {
        name: measures.pop(name).astype("int64") for name in ("error_token", "error_dimension")
    }
    return xr.Dataset({**measures, "relative_error": relative, "correlation": r, **places})


def _kernel(
    tokens: Indices,
    output: npt.NDArray[Any],
    *parts: npt.NDArray[Any],
    relative: float,
    absolute: float,
) -> Floats:
    """Return MEASURES and the moments of output and sum, of a block (token, d_model)."""
    found = []
    with np.errstate(invalid="ignore"):  # inf - inf: no number, which is worse than any error
        for rows, (whole, *terms) in tiles(output, *parts):
            total = sum(terms[1:], start=terms[0])
            error = np.abs(whole - total)
            allowed = (
                relative * sum((np.abs(term) for term in terms), start=np.abs(whole)) + absolute
            )
            times = error / allowed
            worst = int(np.argmax(times))  # the first NaN, where there is one
            row, dimension = divmod(worst, whole.shape[1])
            squares = np.vecdot(error, error).sum(), np.vecdot(whole, whole).sum()
            measures = (*squares, error.max(), times.flat[worst], tokens[rows][row], dimension)
            found.append(np.concatenate([measures, moments_of_all(whole, total)]))
        return _merge(np.array(found))


def _merge(found: Floats) -> Floats:
    """Merge (block, measures and moments).

    Sums add up; the largest error and the largest multiple of rounding keep their places.
    """
    measures, together = found[:, : len(MEASURES)], found[:, len(MEASURES) :]
    worst = measures[np.argmax(measures[:, MEASURES.index("rounding")])]
    with np.errstate(invalid="ignore"):
        return np.concatenate(
            [measures[:, :2].sum(0), [measures[:, 2].max()], worst[3:], merged(together)]
        )


def _correlations(together: Floats) -> Floats:
    return correlation(np.moveaxis(together, -1, 0))

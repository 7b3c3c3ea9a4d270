"""Studies 3 to 5: what edits do downstream, depth by depth, against the run without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.apart import later_tokens
from actlas.analysis.data.sentences import sentences_of
from actlas.analysis.kernels.streaming import Floats, by_token
from actlas.analysis.norms.depths import std_by_depth, step_norms


@dataclass(frozen=True)
class Variant:
    """A run with edits: how it is called in results, and its data.

    edits: as text; first_depth: the first depth that is not the baseline's.
    """

    name: str
    edits: str
    first_depth: int
    dataset: xr.Dataset


def downstream(
    baseline: xr.Dataset, variants: Sequence[Variant], *, include_first: bool = False
) -> xr.Dataset:
    """Δ(d) = ‖h[d] − h′[d]‖_F of every variant, with steps and spread of the stream; lazy.

    The change of the loss is returned too.

    baseline, variants: ``resid`` (depth, token, d_model), ``nll`` (token) where it is stored, the
    labels of tokens. include_first: the first token of a sentence, an order of magnitude larger
    than any other, is left out otherwise, and so are special tokens. Returns, float64, ``delta``,
    ``relative_delta`` (of ‖h[d]‖_F), ``step`` (NaN at depth 0) and ``std`` (variant, depth);
    ``baseline_step``, ``baseline_std`` (depth); ``nll_change`` in nats a token (variant); deltas
    and loss also by sentence. Source: studies 3, 4 and 5. Raises ValueError where a variant has
    other tokens than the baseline.
    """
    kept = _kept(baseline, include_first)
    clean = _profile(baseline, kept).rename(step="baseline_step", std="baseline_std")
    size = sentence_sums(token_squares(baseline["resid"]), baseline, kept)
    parts = []
    for variant in variants:
        _check_alike(baseline, variant)
        delta = sentence_sums(
            _token_distances(baseline["resid"], variant.dataset["resid"]), baseline, kept
        )
        found = _profile(variant.dataset, kept)
        found["sentence_delta"], found["sentence_relative_delta"] = (
            delta**0.5,
            _share(delta, size) ** 0.5,
        )
        found["delta"] = delta.sum("sentence") ** 0.5
        found["relative_delta"] = _share(delta.sum("sentence"), size.sum("sentence")) ** 0.5
        parts.append(found.merge(loss_change(baseline, variant.dataset)))
    labels = {
        "variant": np.array([variant.name for variant in variants], dtype=np.str_),
        "edits": ("variant", np.array([variant.edits for variant in variants], dtype=np.str_)),
        "first_depth": ("variant", np.array([variant.first_depth for variant in variants])),
    }
    return _described(xr.concat(parts, dim="variant").merge(clean).assign_coords(labels))


def redundancy(baseline: xr.Dataset, skipped: dict[int, xr.Dataset]) -> xr.Dataset:
    """How much the loss and the last residual change when a layer is skipped; lazy.

    skipped: layer → data of the run without it, ``resid`` and ``nll``. Returns ``nll_change``
    (layer) and ``sentence_nll_change`` (layer, sentence) in nats a token, and
    ``final_relative_delta`` (layer) = ‖h[L] − h′[L]‖_F / ‖h[L]‖_F without first tokens. Source:
    study 3, scan.
    """
    kept, last = _kept(baseline, include_first=False), [baseline.sizes["depth"] - 1]
    end = baseline["resid"].isel(depth=last)
    size = token_squares(end).where(kept, 0).sum("token")
    parts = []
    for dataset in skipped.values():
        delta = _token_distances(end, dataset["resid"].isel(depth=last)).where(kept, 0).sum("token")
        change = loss_change(baseline, dataset)
        change["final_relative_delta"] = (_share(delta, size) ** 0.5).isel(depth=0, drop=True)
        parts.append(change)
    joined = xr.concat(parts, dim="layer").assign_coords(
        layer=np.array(list(skipped), dtype=np.int64)
    )
    joined["layer"].attrs["long_name"] = "layer that is skipped"
    return _described(joined)


def loss_change(baseline: xr.Dataset, variant: xr.Dataset) -> xr.Dataset:
    """Mean change of the token loss in nats.

    ``nll_change`` over all tokens that have one, ``sentence_nll_change``; float64.

    Empty where the baseline or the variant has no ``nll``. NaN for a sentence of one token, which
    has no loss.
    """
    if "nll" not in baseline or "nll" not in variant:
        return xr.Dataset()
    change = _plain(variant["nll"]).astype(np.float64) - _plain(baseline["nll"]).astype(np.float64)
    counted = baseline["position"].values > 0
    sums = sentence_sums(change, baseline, counted)
    counts = sentence_sums(
        xr.DataArray(counted.astype(np.float64), dims="token"), baseline, counted
    )
    return xr.Dataset(
        {
            "nll_change": _share(sums.sum("sentence", skipna=False), counts.sum()),
            "sentence_nll_change": _share(sums, counts),
        }
    )


def token_squares(resid: xr.DataArray) -> xr.DataArray:
    """‖h[d]‖² of every token: (depth, token), float64."""
    return by_token(_squares, 1, _plain(resid)).isel(quantity=0)


def sentence_sums(
    values: xr.DataArray, labels: xr.Dataset, kept: npt.NDArray[np.bool_]
) -> xr.DataArray:
    """Sum ``values`` (…, token) over the ``kept`` tokens of each sentence: (…, sentence)."""
    sentences = sentences_of(labels)
    sums: xr.DataArray = xr.apply_ufunc(
        _sums,
        values,
        kwargs={"kept": kept, "starts": sentences.starts[:-1]},
        input_core_dims=[["token"]],
        output_core_dims=[["sentence"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"sentence": len(sentences)}, "allow_rechunk": True},
    )
    return sums


def _sums(values: Floats, kept: npt.NDArray[np.bool_], starts: npt.NDArray[np.int64]) -> Floats:
    sums: Floats = np.add.reduceat(np.where(kept, values, 0), starts, axis=-1)
    return sums


def _token_distances(one: xr.DataArray, other: xr.DataArray) -> xr.DataArray:
    return by_token(_distances, 1, _plain(one), _plain(other)).isel(quantity=0)


def _share(part: xr.DataArray, whole: xr.DataArray) -> xr.DataArray:
    """Divide; NaN where ``whole`` is 0, as for a sentence none of whose tokens counts."""
    return part / whole.where(whole > 0)


def _squares(rows: Floats) -> Floats:
    squares: Floats = np.vecdot(rows, rows)
    return squares[np.newaxis]


def _distances(one: Floats, other: Floats) -> Floats:
    return _squares(one - other)


def _kept(dataset: xr.Dataset, include_first: bool) -> npt.NDArray[np.bool_]:
    """Return which tokens count, (token,); raises ValueError where there are only first ones."""
    kept: npt.NDArray[np.bool_] = (
        np.ones(dataset.sizes["token"], np.bool_) if include_first else later_tokens(dataset)
    )
    if not kept.any():
        raise ValueError(
            "every sentence has one token alone, special ones aside, and first tokens are left "
            "out: use longer ones, or include first tokens"
        )
    return kept


def _profile(dataset: xr.Dataset, kept: npt.NDArray[np.bool_]) -> xr.Dataset:
    """Return ``step`` and ``std`` over the ``kept`` tokens, (depth,)."""
    resid = _plain(dataset["resid"]).isel(token=kept)
    depth = resid["depth"].values if "depth" in resid.coords else np.arange(resid.sizes["depth"])
    resid = resid.assign_coords(depth=depth)
    step = xr.full_like(resid["depth"], np.nan, dtype=np.float64)
    if len(depth) > 1:
        # from one layer's input to its output; what lies further apart is no step
        steps = step_norms(resid).where(np.diff(depth) == 1)
        step = steps.reindex(depth=depth)
    return xr.Dataset({"step": step, "std": std_by_depth(resid)}, coords={"depth": depth})


def _plain(array: xr.DataArray) -> xr.DataArray:
    """Return ``array`` without the labels of tokens, which need not be compared or carried."""
    return array.drop_vars([name for name in array.coords if name != "depth"])


def _check_alike(baseline: xr.Dataset, variant: Variant) -> None:
    for label in ("token_id", "position"):
        if not np.array_equal(baseline[label].values, variant.dataset[label].values):
            raise ValueError(f"{variant.name} has other tokens than the baseline")


def _described(result: xr.Dataset) -> xr.Dataset:
    names = {
        "delta": ("Frobenius norm of the difference to the baseline's residual stream", ""),
        "relative_delta": ("the same, of the norm of the baseline's residual stream", "1"),
        "step": ("Frobenius norm of what layer depth - 1 changes in the residual stream", ""),
        "std": ("standard deviation of the residual stream over tokens and dimensions", ""),
        "nll_change": ("mean change of -log p(token | before)", "nat"),
        "sentence_nll_change": ("the same, by sentence", "nat"),
        "final_relative_delta": (
            "Frobenius norm of the difference at the last depth, of the baseline's norm there",
            "1",
        ),
    }
    for name, (meaning, units) in names.items():
        if name in result:
            result[name].attrs = {"long_name": meaning} | ({"units": units} if units else {})
    return result

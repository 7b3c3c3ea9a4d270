"""Studies 3 to 5: what edits do downstream, depth by depth, against the run without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.sentences import Indices, sentences_of
from actlas.analysis.downstream.by_group import (
    group_changes,
    group_losses,
    loss_differences,
    token_distances,
    token_squares,
)
from actlas.analysis.groups.resampling import Resampling
from actlas.analysis.groups.selection import select_groups
from actlas.analysis.groups.token_groups import TokenGroups
from actlas.analysis.kernels.folding import folded
from actlas.analysis.kernels.streaming import Floats
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
    baseline: xr.Dataset,
    variants: Sequence[Variant],
    groups: TokenGroups | None = None,
    drawn: Resampling | None = None,
) -> xr.Dataset:
    """Δ(d) = ‖h[d] − h′[d]‖_F of every variant, with steps and spread of the stream; lazy.

    The change of the loss is returned too.

    baseline, variants: ``resid`` (depth, token, d_model), ``nll`` (token) where it is stored, the
    labels of tokens. groups: one of them is of all tokens that count, and by default the only
    one, without first and special tokens; of the others there are
    ``group_relative_delta`` (variant, group, depth) and ``group_nll_change`` (variant, group), with
    intervals where clusters are ``drawn`` again, and contrasts. Returns, float64, ``delta``,
    ``relative_delta`` (of ‖h[d]‖_F), ``step`` (NaN at depth 0) and ``std`` (variant, depth);
    ``baseline_step``, ``baseline_std`` (depth); ``tokens``, how many the norms are over;
    ``nll_change`` in nats a token (variant); deltas and loss also by sentence. Source: studies 3,
    4 and 5. Raises ValueError where a variant has other tokens than the baseline.
    """
    groups = groups or select_groups(baseline, every=True)
    kept = _kept(baseline, groups)
    clean = _profile(baseline, kept).rename(step="baseline_step", std="baseline_std")
    size = sentence_sums(token_squares(baseline["resid"]), baseline, kept)
    parts = []
    for variant in variants:
        _check_alike(baseline, variant)
        delta = sentence_sums(
            token_distances(baseline["resid"], variant.dataset["resid"]), baseline, kept
        )
        found = _profile(variant.dataset, kept)
        found["sentence_delta"], found["sentence_relative_delta"] = (
            delta**0.5,
            _share(delta, size) ** 0.5,
        )
        found["delta"] = delta.sum("sentence") ** 0.5
        found["relative_delta"] = _share(delta.sum("sentence"), size.sum("sentence")) ** 0.5
        found = found.merge(loss_change(baseline, variant.dataset))
        parts.append(found.merge(group_changes(baseline, variant.dataset, groups, drawn)))
    labels = {
        "variant": np.array([variant.name for variant in variants], dtype=np.str_),
        "edits": ("variant", np.array([variant.edits for variant in variants], dtype=np.str_)),
        "first_depth": ("variant", np.array([variant.first_depth for variant in variants])),
    }
    found = xr.concat(parts, dim="variant").merge(clean).assign_coords(labels)
    return _described(found.assign(tokens=int(kept.sum())))


def redundancy(
    baseline: xr.Dataset,
    skipped: Mapping[int, xr.Dataset],
    groups: TokenGroups | None = None,
    drawn: Resampling | None = None,
) -> xr.Dataset:
    """How much the loss and the last residual change when a layer is skipped; lazy.

    skipped: layer → data of the run without it, ``resid`` and ``nll``. Returns ``nll_change``
    (layer) and ``sentence_nll_change`` (layer, sentence) in nats a token, and
    ``final_relative_delta`` (layer) = ‖h[L] − h′[L]‖_F / ‖h[L]‖_F. groups, drawn: as in
    ``downstream``; of groups there is ``group_nll_change`` (layer, group). Source: study 3, scan.
    """
    groups = groups or select_groups(baseline, every=True)
    kept, last = _kept(baseline, groups), [baseline.sizes["depth"] - 1]
    end = baseline["resid"].isel(depth=last)
    size = token_squares(end).where(kept, 0).sum("token")
    parts = []
    for dataset in skipped.values():
        delta = token_distances(end, dataset["resid"].isel(depth=last)).where(kept, 0).sum("token")
        change = loss_change(baseline, dataset)
        change["final_relative_delta"] = (_share(delta, size) ** 0.5).isel(depth=0, drop=True)
        parts.append(change.merge(group_losses(baseline, dataset, groups, drawn)))
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
    change = loss_differences(baseline, variant)
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


def sentence_sums(
    values: xr.DataArray, labels: xr.Dataset, kept: npt.NDArray[np.bool_]
) -> xr.DataArray:
    """Sum ``values`` (…, token) over the ``kept`` tokens of each sentence: (…, sentence)."""
    starts = sentences_of(labels).starts
    if not values.chunks:
        found = np.add.reduceat(np.where(kept, values.values, 0), starts[:-1], axis=-1)
        return xr.DataArray(found, dims=[*values.dims[:-1], "sentence"])
    placed = values if values.dims[0] != "token" else values.expand_dims("place")
    sums = folded(partial(_Sums, kept, starts), {"sentence": len(starts) - 1}, placed)
    return sums if placed is values else sums.isel(place=0)


class _Sums:
    """Sums over the kept tokens of each sentence: (sentence,)."""

    def __init__(self, kept: npt.NDArray[np.bool_], starts: Indices) -> None:
        self._kept, self._starts = kept, starts
        self._sums = np.zeros(len(starts) - 1)

    def add(self, first: int, *blocks: npt.NDArray[Any]) -> None:
        """Take in values (token,)."""
        (values,) = blocks
        end = first + len(values)
        begin = int(np.searchsorted(self._starts, first, side="right")) - 1
        last = int(np.searchsorted(self._starts, end, side="left"))
        # a sentence may have begun in the block before
        starts = np.maximum(self._starts[begin:last], first) - first
        chosen = np.where(self._kept[first:end], values, 0)
        self._sums[begin:last] += np.add.reduceat(chosen, starts)

    def result(self) -> Floats:
        """Return the sums."""
        return self._sums


def _share(part: xr.DataArray, whole: xr.DataArray) -> xr.DataArray:
    """Divide; NaN where ``whole`` is 0, as for a sentence none of whose tokens counts."""
    return part / whole.where(whole > 0)


def _kept(dataset: xr.Dataset, groups: TokenGroups) -> npt.NDArray[np.bool_]:
    """Return which tokens count, (token,); raises ValueError where there are only first ones."""
    kept = np.zeros(dataset.sizes["token"], np.bool_)
    kept[groups.whole] = True
    if not kept.any():
        raise ValueError(
            "every sentence has one token alone, special ones aside, and first tokens are left "
            "out: use longer ones, or --first-token include"
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
        "tokens": ("tokens that norms and spread are over", ""),
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

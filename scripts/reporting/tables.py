"""The tables of the page: a result in, rows of cells out, each cell with the text that is shown and the number it sorts by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

Cell = tuple[str, float | str]


@dataclass(frozen=True)
class Table:
    """A table with its caption; of each column whether it holds numbers."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Whether a column holds numbers alone."""
        return tuple(
            all(not isinstance(row[place][1], str) for row in self.rows)
            for place in range(len(self.header))
        )


def cell(value: object, form: str = ".4g") -> Cell:
    """Return a number in ``form``, or text as it is; what is no number is a dash and sorts below all."""
    if isinstance(value, str):
        return value, value
    number = float(value)  # type: ignore[arg-type]
    if np.isnan(number):
        return "–", float("-inf")
    return (f"{int(number)}" if form == "d" else f"{number:{form}}"), number


def tables_of(stage: str, result: xr.Dataset) -> list[Table]:
    """Return the tables of a result of ``stage``."""
    return BUILDERS[stage](result)


def _variance(result: xr.Dataset) -> list[Table]:
    places = [(p, g) for p in result["projection"].values for g in result["group"].values]
    rows = [
        (
            cell(layer, "d"),
            *(cell(result["variance"].sel(layer=layer, projection=p, group=g)) for p, g in places),
        )
        for layer in result["layer"].values
    ]
    return [
        _table(
            "Variance over tokens, mean over features",
            ("block", *(f"{p.upper()} {g}" for p, g in places)),
            rows,
        )
    ]


def _cosine(result: xr.Dataset) -> list[Table]:
    groups = [str(group) for group in result["group"].values]
    rows = []
    for block in result["block"].values:
        for layer in result["layer"].values:
            of_place = result.sel(block=block, layer=layer)
            means = [cell(of_place["mean_abs"].sel(group=group), ".3f") for group in groups]
            high = [cell(of_place["share_above_0.9"].sel(group=group), ".3f") for group in groups]
            rows.append((cell(str(block)), cell(layer, "d"), *means, *high))
    header = (
        "block",
        "layer",
        *(f"mean |cos|, {group}" for group in groups),
        *(f"above 0.9, {group}" for group in groups),
    )
    return [_table("Mean |cosine|, and the share of pairs with |cosine| above 0.9", header, rows)]


def _reconstruct(result: xr.Dataset) -> list[Table]:
    names = ("max_abs_error", "relative_error", "rounding")
    rows = []
    for kind in result["sum"].values:
        for layer in result["layer"].values:
            of_sum = result.sel(sum=kind, layer=layer)
            cells = [cell(of_sum[name], ".3g") for name in names]
            rows.append(
                (cell(layer, "d"), cell(str(kind)), *cells, cell(of_sum["correlation"], ".6f"))
            )
    sums = _table(
        "Each sum against its output; it holds where “of rounding” is at most 1",
        ("block", "sum", "max |error|", "relative", "of rounding", "r"),
        rows,
    )
    pairs = [
        (
            cell(pair, "d"),
            *(
                cell(result[name].sel(pair=pair), ".4f")
                for name in ("laminar_correlation", "unmasked_correlation")
            ),
        )
        for pair in result["pair"].values
    ]
    return [
        sums,
        _table("Pearson's r of depth d and d + 1", ("depth d", "masked", "not masked"), pairs),
    ]


def _norms(result: xr.Dataset) -> list[Table]:
    tables = []
    for name in (str(name) for name in result if str(name).startswith("norm_")):
        norms = result[name].mean("head") if "head" in result[name].dims else result[name]
        axis = next((dim for dim in ("layer", "depth") if dim in norms.dims), None)
        statistics = [str(statistic) for statistic in norms["statistic"].values]
        rows = [
            (
                *((cell(norms[axis].values[place], "d"),) if axis else ()),
                cell(str(group)),
                *(
                    cell(each, ".4g")
                    for each in (norms.isel({axis: place}) if axis else norms)
                    .sel(group=group)
                    .values
                ),
            )
            for place in range(norms.sizes[axis] if axis else 1)
            for group in norms["group"].values
        ]
        where = () if axis is None else ("block" if axis == "layer" else "depth",)
        heads = ", mean over heads" if "head" in result[name].dims else ""
        tables.append(
            _table(
                f"Norm of {name.removeprefix('norm_')}{heads}",
                (*where, "tokens", *statistics),
                rows,
            )
        )
    return [*tables, *_outliers(result)]


def _outliers(result: xr.Dataset) -> list[Table]:
    """Return the largest values of the residual stream, where they were asked for; rank by rank, empty ones left out."""
    if "outlier_value" not in result:
        return []
    places = ("dimension", "depth", "sentence", "position")
    rows = []
    for part in result["part"].values:
        for rank in range(result.sizes["rank"]):
            found = result.sel(part=part).isel(rank=rank)
            if int(found["outlier_token"]) >= 0:
                rows.append(
                    (
                        cell(str(part)),
                        *(cell(found[f"outlier_{p}"], "d") for p in places),
                        cell(found["outlier_value"]),
                    )
                )
    return [
        _table(
            "Largest values of the residual stream, each dimension once",
            ("of", *places, "value"),
            rows,
        )
    ]


def _scan(result: xr.Dataset) -> list[Table]:
    rows = [
        (
            cell(layer, "d"),
            cell(result["nll_change"].sel(layer=layer), "+.4f"),
            cell(result["final_relative_delta"].sel(layer=layer), ".3g"),
        )
        for layer in result["layer"].values
    ]
    return [
        _table(
            "What skipping a block costs",
            ("block", "change of loss (nats)", "change of the last residual, relative"),
            rows,
        )
    ]


def _downstream(result: xr.Dataset) -> list[Table]:
    last = result.sizes["depth"] - 1
    rows = []
    for variant in range(result.sizes["variant"]):
        of_variant = result.isel(variant=variant)
        first = int(of_variant["first_depth"])
        at_first = cell(of_variant["delta"].values[first]) if first <= last else cell(np.nan)
        loss = (
            cell(of_variant["nll_change"], "+.4f") if "nll_change" in of_variant else cell(np.nan)
        )
        end = (
            cell(of_variant["delta"].values[last]),
            cell(of_variant["relative_delta"].values[last], ".3g"),
        )
        rows.append((cell(str(of_variant["edits"].values)), cell(first, "d"), at_first, *end, loss))
    header = (
        "edit",
        "first depth",
        "Δ there",
        f"Δ at depth {last}",
        "relative",
        "change of loss (nats)",
    )
    return [_table("Distance to the run without edits", header, rows)]


def _table(caption: str, header: Sequence[str], rows: Sequence[tuple[Cell, ...]]) -> Table:
    return Table(caption, tuple(header), tuple(rows))


BUILDERS: dict[str, Callable[[xr.Dataset], list[Table]]] = {
    "variance": _variance,
    "cosine": _cosine,
    "reconstruct": _reconstruct,
    "norms": _norms,
    "scan": _scan,
    "downstream": _downstream,
}

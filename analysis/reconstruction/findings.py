"""How much each layer changes the stream, in sentences."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis.declaring.phrases import number
from actlas.analysis.declaring.shown import Caption


def change_line(result: xr.Dataset) -> list[str]:
    """Say which layer changes the stream most, by the correlation of consecutive depths."""
    r = result["laminar_correlation"]
    if not r.size or not bool(r.notnull().any()):
        return []
    order = np.argsort(r.fillna(2).values)
    least = r.isel(pair=int(order[0]))
    pair = int(least["pair"])
    line = (
        f"layer {pair} changes the residual stream most: its input and its output correlate "
        f"least, r = {float(least):.4f} with the largest values left out"
    )
    if int(r.notnull().sum()) > 1:
        next_ = r.isel(pair=int(order[1]))
        line += f"; in every other layer {float(next_):.4f} or more"
    return [line]


def captions(result: xr.Dataset) -> dict[str, Caption]:
    """Return the captions by kind of figure: how large errors are, where the curve dips."""
    dips = " ".join(f"{line[0].upper()}{line[1:]}." for line in change_line(result))
    alike = f"The nearer to 1, the less a layer changes the stream. {dips}"
    if "sum" in result.dims:
        rounding = result["rounding"].max("sum")
        top = rounding.isel(layer=int(rounding.fillna(-1).values.argmax()))
        main = Caption(
            "Errors of the sums, and correlation of consecutive depths",
            "Left: the error of every layer should lie at the rounding of the stored precision; it "
            f"is {number(top, '.2g')} of what rounding may do at most (layer {int(top['layer'])}). "
            f"Right: {alike[0].lower()}{alike[1:]}",
        )
    else:
        main = Caption("Correlation of consecutive depths", alike)
    return {"": main, "pair": _pair_caption(result)}


def _pair_caption(result: xr.Dataset) -> Caption:
    wanted = result.attrs.get("pair")
    note = "Each entry of the residual stream at one depth against the next."
    if wanted is not None and int(str(wanted).split(",", maxsplit=1)[0]) in result["pair"].values:
        at = result.sel(pair=int(str(wanted).split(",", maxsplit=1)[0]))
        kept, every = (float(at[f"{name}_correlation"]) for name in ("laminar", "unmasked"))
        note += (
            f" r = {kept:.4f} without the largest values, {every:.4f} with them: far entries "
            f"{'make' if abs(kept - every) > 0.05 else 'hardly change'} the correlation."
        )
    return Caption("Two consecutive depths against each other", note)

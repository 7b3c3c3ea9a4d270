"""Whether every layer is the sum of its parts: by how much not, and where."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis.declaring.study import Subject
from actlas.analysis.reconstruction.compute import WHOLE, Precision, broken


def verdict_line(result: xr.Dataset, subject: Subject) -> tuple[bool, str]:
    """Return whether a sum does not hold, and the sentence that says so: by how much, and where.

    result: computed, of ``reconstruction``, with ``edited`` in its attributes.
    """
    edited = result.attrs["edited"]
    wrong = broken(result, edited)
    listed = ", ".join(map(str, edited))
    left_out = f" (output edited, not judged: layer {listed})" if edited else ""
    judged = result.sel(layer=[layer for layer in result["layer"].values if layer not in edited])
    if not judged.sizes["layer"]:
        return False, f"not judged: the output of every layer was edited{left_out}"
    rounding_of = Precision(subject.numerics["dtype"], subject.numerics["stored_dtype"])
    if wrong:
        return True, _wrong(result, subject, wrong, str(rounding_of)) + left_out
    largest = float(judged["relative_error"].max())
    return False, (
        f"holds to the rounding of {rounding_of} at every layer: "
        f"relative error at most {largest:.2g}{left_out}"
    )


def _wrong(
    result: xr.Dataset, subject: Subject, wrong: list[tuple[str, int]], rounding_of: str
) -> str:
    times = {}
    for name, layer in wrong:
        found = float(result["rounding"].sel(sum=name, layer=layer))
        times[name, layer] = np.inf if np.isnan(found) else found
    name, layer = max(wrong, key=lambda key: times[key])
    worst = result.sel(sum=name, layer=layer)
    token = int(worst["error_token"])
    labels = subject.dataset.isel(token=token)
    place = (
        f"sentence {int(labels['sentence'])}, token {subject.token_text(token)!r} "
        f"(position {int(labels['position'])}), dimension {int(worst['error_dimension'])}"
    )
    train = subject.numerics.get("mode") == "train"
    why = ": dropout lies between what is read and what is added (--train-mode)" if train else ""
    layers = len({layer for _, layer in wrong})
    which = "" if name == WHOLE else f" ({name})"
    return (
        f"DOES NOT HOLD at {layers} of {result.sizes['layer']} layers{why}; "
        f"worst at layer {layer}{which}, {place}: "
        f"{float(worst['rounding']):.3g} times the rounding of {rounding_of}, "
        f"largest error {float(worst['max_abs_error']):.4g}, "
        f"relative {float(worst['relative_error']):.3g}"
    )

"""Study 2, the tables of the sums and of consecutive depths."""

from __future__ import annotations

import xarray as xr

from actlas.analysis.declaring.shown import Table, cell
from actlas.analysis.reconstruction.compute import WHOLE

SHOWN = 12  # layers in a terminal
ERRORS = ("max_abs_error", "relative_error", "rounding")
CORRELATIONS = ("laminar_correlation", "unmasked_correlation")


def sum_table(result: xr.Dataset) -> Table:
    """Return the errors, a row a sum and layer."""
    rows = []
    for kind in result["sum"].values:
        for layer in result["layer"].values:
            here = result.sel(sum=kind, layer=layer)
            errors = [cell(here[name], ".3g") for name in ERRORS]
            r = cell(here["correlation"], ".6f")
            rows.append((cell(layer, "d"), cell(str(kind)), *errors, r))
    caption = "Each sum against its output; it holds where the error is at most 1 of rounding"
    header = ("layer", "sum", "max |error|", "relative", "of rounding", "r")
    return Table.of(caption, header, rows)


def pair_table(result: xr.Dataset) -> Table:
    """Return the correlation of each depth with the next."""
    rows = []
    for pair in result["pair"].values:
        r = [cell(result[name].sel(pair=pair), ".4f") for name in CORRELATIONS]
        rows.append((cell(pair, "d"), *r))
    header = ("depth d", "masked", "not masked")
    return Table.of("Pearson's r of depth d and d + 1", header, rows)


def layer_table(result: xr.Dataset) -> Table:
    """Return errors by layer and the correlation of its two depths; of a large model some layers.

    result: with ``edited``, layers whose output was edited, in its attributes.
    """
    layers, edited = result["layer"].values.tolist(), result.attrs["edited"]
    bad = []
    for layer in layers:
        if not bool((result["rounding"].sel(layer=layer) <= 1).all()):
            bad.append(layer)
    step, rows = max(1, -(-len(layers) // SHOWN)), []
    for layer in sorted({*layers[::step], layers[-1], *bad[:SHOWN]}):
        whole = result.sel(sum=WHOLE, layer=layer)
        errors = [cell(whole[name], ".3g") for name in ERRORS]
        state = "edited" if layer in edited else "NOT its sum" if layer in bad else "holds"
        r = [cell(result[name].sel(pair=layer), ".4f") for name in CORRELATIONS]
        sums = cell(whole["correlation"], ".6f")
        rows.append((cell(layer, "d"), *errors, sums, cell(state), *r))
    header = (
        *("layer", "max |error|", "relative", "of rounding", "r of sum", "verdict"),
        *("r masked", "r of all"),
    )
    caption = (
        "Output of each layer against the sum of its parts, which holds where the error is at most "
        f"1 of rounding; Pearson's r of the layer's two depths without the largest "
        f"{float(result['excluded_share'].mean()):.2%} of entries, and of all"
    )
    return Table.of(caption, header, rows)

"""``actlas reconstruct``: study 2, a block is a sum, proved on stored numbers; and how alike consecutive depths are."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from actlas.scripts.extraction.cluster_options import analysis_workers
from actlas.scripts.results.output import Answer, Destination, Output
from actlas.scripts.results.question import Question
from actlas.scripts.terminal.options import json_option, output_options, run_argument
from actlas.scripts.terminal.text import echo_json, plain_numbers, table
from actlas.store.errors import UsageError
from actlas.store.runs.run import Run

#: laws of the residual stream under which a block adds its parts to its input
SUMS = ("add", "parallel")

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.reconstruction.laminar import Mask

NEEDED = ("resid", "attn_out", "mlp_out")
SHOWN = 12  # blocks in the table
MOST_ENTRIES = 1 << 21  # of a pair that are drawn


@click.command("reconstruct")
@run_argument
@click.option(
    "--pair", metavar="D,D+1", help="Draw these two depths against each other, such as 10,11."
)
@click.option(
    "--quantile",
    type=float,
    help="Share of entries that the correlation of depths keeps, those of the smallest |value|.  [default: 0.99]",
)
@click.option(
    "--threshold",
    type=float,
    help="Keep entries with a smaller |value| than this, instead of a quantile.",
)
@click.option(
    "--exclude-first-token",
    is_flag=True,
    help="Leave the first token of each sentence out of the correlation.",
)
@click.option(
    "--unchecked",
    is_flag=True,
    help="Do not compare checksums: to see what altered numbers do, and where they are.",
)
@output_options
@json_option
@analysis_workers
def command(
    run: Run,
    unchecked: bool,
    pair: str | None,
    quantile: float | None,
    threshold: float | None,
    exclude_first_token: bool,
    out: Destination,
    as_json: bool,
) -> None:
    """Check that each block of RUN is a sum: h[l+1] = h[l] + attn_out[l] + mlp_out[l], and both halves with `resid_mid`.

    The verdict is by the rounding of the dtypes that RUN was computed and stored in; exit code 1 where a block is not its sum.
    Beside it, Pearson's r between consecutive depths, with the largest values masked.
    """
    from actlas.analysis.reconstruction.laminar import Mask

    if quantile is None and threshold is None:
        quantile = 0.99
    mask = Mask(quantile, threshold, first_token=not exclude_first_token)
    blocks = run.description["model"]["layer"]
    check_law(run)
    result, output, edited = reconstruction_study(
        run, mask, parse_pair(pair, blocks), out, check=not unchecked
    )
    wrong, verdict = verdict_line(result, run, edited)
    if as_json:
        numbers = {
            name: _record(result, name)
            for name in ("max_abs_error", "relative_error", "correlation", "rounding")
        }
        laminar = {
            name: plain_numbers(result[name].values)
            for name in ("laminar_correlation", "excluded_share")
        }
        record = {
            "run": run.id,
            "holds": not wrong,
            "verdict": verdict,
            "edited": edited,
            **numbers,
            **laminar,
        }
        echo_json({**record, "files": [str(path) for path in output.paths]})
    else:
        click.echo(f"{reconstruction_table(result, edited)}\n\n{verdict}\n\n{output}")
    sys.exit(1 if wrong else 0)


def check_law(run: Run) -> None:
    """Raise UsageError unless the law of the model of ``run`` makes each block a sum."""
    law = run.description["model"].get("law")
    if law not in SUMS:
        raise UsageError(
            f"run {run.name}: its model has the law {law!r} of the residual stream, expected one "
            f"of {', '.join(SUMS)}: there is no sum to check"
        )


def reconstruction_study(
    run: Run, mask: Mask, pair: int | None, out: Destination, *, check: bool = True
) -> tuple[xr.Dataset, Output, list[int]]:
    """Compute sums and correlations, write result and figures; return the result, what was written, the edited blocks."""
    from actlas.analysis import plots
    from actlas.analysis.norms.depths import stored_blocks
    from actlas.analysis.reconstruction.compute import Precision, edited_blocks, reconstruction
    from actlas.analysis.reconstruction.laminar import laminar_correlation

    sites = summed_sites(run)
    dataset = run.dataset(sites, check=check)
    known = stored_blocks(dataset["resid"])[1].tolist()
    if pair is not None and pair not in known:
        raise UsageError(
            f"--pair {pair},{pair + 1}: run {run.name} has not both; the lower may be {', '.join(map(str, known))}"
        )
    numerics, edited = run.specification["numerics"], edited_blocks(run.edits)
    sums = reconstruction(dataset, Precision(numerics["dtype"], numerics["stored_dtype"]))
    built = sums.merge(laminar_correlation(dataset["resid"], mask), join="exact")
    options = {**asdict(mask), "pair": pair, "sites": sites, "checked": check}
    words = "" if pair is None else f"pair {pair} {pair + 1}"
    answer = Answer(Question("reconstruct", [run], options, words), built, {"edited": edited})
    result = answer.result
    answer.draw(plots.reconstruction_profile(result, edited))
    if pair is not None:
        lower, upper, note = pair_entries(dataset["resid"], pair, mask)
        answer.draw(plots.depth_pair(lower, upper, result.sel(pair=pair), note), "pair")
    return result, answer.write(out), edited


def summed_sites(run: Run) -> tuple[str, ...]:
    """Return the sites that the sums of ``run`` are made of: with `resid_mid`, where it is stored, those of both halves."""
    return (*NEEDED, *(site for site in ("resid_mid",) if site in run.sites))


def parse_pair(text: str | None, deepest: int) -> int | None:
    """Return the lower of two consecutive depths such as ``10,11``; raises UsageError for another or a deeper one."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*", text)
    if not match:
        raise UsageError(f"--pair {text!r} is no pair of depths: wanted such as 0,1")
    lower, upper = int(match[1]), int(match[2])
    if max(lower, upper) > deepest:
        raise UsageError(
            f"--pair {text!r}: depth {max(lower, upper)} is not within 0-{deepest}, the depths of this run"
        )
    if upper != lower + 1:
        raise UsageError(
            f"--pair {text!r}: {lower} and {upper} are not consecutive: wanted such as {lower},{lower + 1}"
        )
    return lower


def pair_entries(
    resid: xr.DataArray, pair: int, mask: Mask
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], str]:
    """Return the entries of depth ``pair`` and the next that take part, flat, of at most about MOST_ENTRIES; and a note."""
    tokens = (
        np.arange(resid.sizes["token"])
        if mask.first_token
        else np.flatnonzero(resid["position"].values > 0)
    )
    step = max(1, -(-len(tokens) * resid.sizes["d_model"] // MOST_ENTRIES))
    drawn = resid.sel(depth=[pair, pair + 1]).isel(token=tokens[::step]).values.astype(np.float64)
    note = "every entry (token, dimension)" if step == 1 else f"entries of every {step}th token"
    return (
        drawn[0].ravel(),
        drawn[1].ravel(),
        note + ("" if mask.first_token else " but first ones"),
    )


def verdict_line(result: xr.Dataset, run: Run, edited: list[int]) -> tuple[bool, str]:
    """Return whether a sum does not hold, and the line that says so: by how much, and where."""
    from actlas.analysis.reconstruction.compute import Precision, broken

    numerics, wrong = run.specification["numerics"], broken(result, edited)
    precision = str(Precision(numerics["dtype"], numerics["stored_dtype"]))
    layers = result.sizes["layer"]
    left_out = (
        f" (output edited, not judged: block {', '.join(map(str, edited))})" if edited else ""
    )
    judged = result.sel(layer=[layer for layer in result["layer"].values if layer not in edited])
    if not judged.sizes["layer"]:
        return False, f"not judged: the output of every block was edited{left_out}"
    if not wrong:
        largest = float(judged["relative_error"].max())
        return (
            False,
            f"holds to the rounding of {precision} at every block: relative error at most {largest:.2g}{left_out}",
        )
    times = {
        (name, layer): float(result["rounding"].sel(sum=name, layer=layer)) for name, layer in wrong
    }
    name, layer = max(wrong, key=lambda key: np.inf if np.isnan(times[key]) else times[key])
    worst = result.sel(sum=name, layer=layer)
    token = int(worst["error_token"])
    labels = run.labels
    place = (
        f"sentence {labels.token['sentence'][token]}, token {labels.token_text(token)!r} "
        f"(position {labels.token['position'][token]}), dimension {int(worst['error_dimension'])}"
    )
    why = (
        ": dropout lies between what is read and what is added (--train-mode)"
        if numerics["mode"] == "train"
        else ""
    )
    blocks = sorted({layer for _, layer in wrong})
    return True, (
        f"DOES NOT HOLD at {len(blocks)} of {layers} blocks{why}; worst at block {layer}"
        f"{'' if name == 'block' else f' ({name})'}, {place}: {times[name, layer]:.3g} times the rounding of {precision}, "
        f"largest error {float(worst['max_abs_error']):.4g}, relative {float(worst['relative_error']):.3g}{left_out}"
    )


def reconstruction_table(result: xr.Dataset, edited: list[int]) -> str:
    """Return errors by block and the correlation of its two depths: all blocks of a small model, of a larger one some."""
    layers = result.sizes["layer"]
    step = max(1, -(-layers // SHOWN))
    bad = {
        int(layer)
        for layer in result["layer"].values
        if not bool((result["rounding"].sel(layer=layer) <= 1).all())
    }
    rows = []
    numbers = result["layer"].values.tolist()
    for layer in sorted({*numbers[::step], numbers[-1], *sorted(bad)[:SHOWN]}):
        whole = result.sel(sum="block", layer=layer)
        cells = [
            f"{float(whole[name]):.3g}" for name in ("max_abs_error", "relative_error", "rounding")
        ]
        r = [
            f"{float(result[name].sel(pair=layer)):.4f}"
            for name in ("laminar_correlation", "unmasked_correlation")
        ]
        state = "edited" if layer in edited else "NOT its sum" if layer in bad else "holds"
        rows.append([str(layer), *cells, f"{float(whole['correlation']):.6f}", state, *r])
    header = [
        "block",
        "max |error|",
        "relative",
        "rounding",
        "r of sum",
        "verdict",
        "r of depths",
        "unmasked",
    ]
    masked = f"{float(result['excluded_share'].mean()):.2%} of entries left out of r of depths"
    return f"output of each block against the sum of its parts\n{table(header, rows)}\n{masked}"


def _record(result: xr.Dataset, name: str) -> dict[str, Any]:
    return {
        str(part): plain_numbers(result[name].sel(sum=part).values) for part in result["sum"].values
    }

"""``actlas norms``: study 2, how large activations are and who writes the residual stream."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from actlas.scripts.analyses.bounds import number
from actlas.scripts.extraction.cluster_options import analysis_workers
from actlas.scripts.results.output import Answer, Destination, Output
from actlas.scripts.results.question import Question
from actlas.scripts.terminal.completion import complete_site
from actlas.scripts.terminal.options import json_option, named_sites, output_options, run_argument
from actlas.scripts.terminal.text import echo_json, plain_numbers, table
from actlas.store.errors import UsageError, unknown
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    import xarray as xr

SHOWN = 9  # depths in the table


@dataclass(frozen=True)
class NormOptions:
    """What is measured, and for which groups of tokens."""

    sites: tuple[str, ...] = ()  # all that are stored, where there are none
    by: str | None = None  # a column of the input
    target: str | None = None  # a word
    outliers: int = 0


@click.command("norms")
@run_argument
@click.option(
    "--site",
    "sites",
    multiple=True,
    metavar="SITE",
    shell_complete=complete_site,
    callback=named_sites,
    help="Measure this site; may be repeated.  [default: all stored]",
)
@click.option(
    "--by",
    metavar="COLUMN",
    help="Measure the sentences of each value of this column of the input apart.",
)
@click.option("--target", metavar="WORD", help="Measure this word, and the token before it, apart.")
@click.option(
    "--outliers",
    type=number("outliers"),
    default=0,
    metavar="N",
    help="List the N dimensions with the largest values, and where.",
)
@output_options
@json_option
@analysis_workers
def command(run: Run, out: Destination, as_json: bool, **chosen: Any) -> None:
    """How large the vectors of each site of RUN are, over its tokens, layer by layer.

    With `resid`: how far each block moves the residual stream, and how widely it spreads; with `attn_out` and `mlp_out` too,
    which share of it attention and MLP have written. The first token of each sentence is a group of its own.
    """
    options = NormOptions(**chosen)
    result, output = norm_study(run, options, out)
    if as_json:
        echo_json({"run": run.id, **_record(result), "files": [str(path) for path in output.paths]})
        return
    parts = [
        norms_table(result),
        outlier_table(result, run) if options.outliers else "",
        str(output),
    ]
    click.echo("\n\n".join(part for part in parts if part))


def norm_study(run: Run, options: NormOptions, out: Destination) -> tuple[xr.Dataset, Output]:
    """Measure, write result and figures; return the result and what was written."""
    from actlas.analysis import plots
    from actlas.analysis.data.groups import token_groups
    from actlas.analysis.data.tokens import Target, select_tokens
    from actlas.analysis.norms.compute import norm_profile
    from actlas.analysis.norms.outliers import outliers

    options = replace(
        options, sites=measured_sites(run, options)
    )  # all that are stored: with a further one, another result
    dataset = run.dataset(options.sites)
    selection = None if options.target is None else select_tokens(dataset, Target(options.target))
    profile = norm_profile(dataset, token_groups(dataset, by=options.by, selection=selection))
    if options.outliers:
        profile = profile.merge(outliers(dataset["resid"], options.outliers))
    words = " ".join(word for word in (options.by, options.target) if word)
    answer = Answer(Question("norms", [run], asdict(options), words), profile)
    result = answer.result
    if "norm_resid" in result:
        answer.draw(plots.norm_stream(result))
    deep = [
        str(site) for site in dataset if dataset[site].dims[0] != "token"
    ]  # the others have one place in the model
    if deep:
        answer.draw(plots.norm_sites(result), "sites")
    if deep and (options.by or options.target):
        answer.draw(plots.norm_groups(result, deep[0]), "groups")
    return result, answer.write(out)


def measured_sites(run: Run, options: NormOptions) -> tuple[str, ...]:
    """Return the vector sites to measure; raises UsageError for one that is no vector of a token, or where there is none."""
    from actlas.analysis.norms.compute import VECTOR_SITES

    for site in options.sites:
        if site not in VECTOR_SITES:
            raise unknown("site of vectors", site, VECTOR_SITES)
    sites = options.sites or tuple(site for site in VECTOR_SITES if site in run.sites)
    if not sites:
        raise UsageError(
            f"run {run.name} has no site to measure in all its units: `actlas extract … --site resid` adds one"
        )
    if options.outliers and "resid" not in sites:
        raise UsageError(
            "--outliers are of the residual stream: `actlas extract … --site resid` adds it, --site resid chooses it"
        )
    return tuple(site for site in VECTOR_SITES if site in sites)


def norms_table(result: xr.Dataset) -> str:
    """Return the residual stream by depth where it was measured, else the norms of each site at its last block."""
    if "norm_resid" not in result:
        return _sites_table(result)
    from actlas.analysis.data.groups import FIRST, LATER

    depths = result.sizes["depth"]
    header = [
        "depth",
        "first",
        "median",
        "largest",
        "step",
        "std",
        *(f"{name} share" for name in _writers(result)),
    ]
    rows = []
    for depth in _shown(depths):
        norms, of_later = result["norm_resid"].isel(depth=depth), result.sel(group=LATER)
        numbers = [
            norms.sel(group=FIRST, statistic="median"),
            *norms.sel(group=LATER, statistic=["median", "largest"]),
        ]
        numbers += [of_later[name].isel(depth=depth) for name in ("step", "std")]
        cells = [_number(number) for number in numbers]
        for writer in _writers(result):
            shares, block = of_later["share"].sel(writer=writer), int(result["depth"][depth]) - 1
            cells.append(_number(shares.sel(layer=block)) if block in shares["layer"] else "-")
        rows.append([str(int(result["depth"][depth])), *cells])
    title = "residual stream: norm of first tokens (median);\nnorm, step ‖h[d] − h[d−1]‖, std and shares of later tokens"
    return f"{title}\n{table(header, rows)}"


def _sites_table(result: xr.Dataset) -> str:
    rows = []
    for name in (str(name) for name in result if str(name).startswith("norm_")):
        norms = result[name].mean(
            [dim for dim in result[name].dims if dim not in ("group", "statistic")]
        )
        rows += [
            [name.removeprefix("norm_"), str(group), *map(_number, norms.sel(group=group))]
            for group in result["group"].values
        ]
    return "norms, mean over blocks and heads\n" + table(
        ["site", "group", *map(str, result["statistic"].values)], rows
    )


def outlier_table(result: xr.Dataset, run: Run) -> str:
    """Return the dimensions with the largest values, and the sentence and token of each."""
    rows = []
    for part in result["part"].values:
        for rank in range(result.sizes["rank"]):
            found = result.sel(part=part).isel(rank=rank)
            token = int(found["outlier_token"])
            if token >= 0:
                places = [
                    str(int(found[f"outlier_{name}"]))
                    for name in ("dimension", "depth", "sentence", "position")
                ]
                rows.append(
                    [
                        str(part),
                        *places,
                        repr(run.labels.token_text(token)),
                        _number(found["outlier_value"]),
                    ]
                )
    header = ["of", "dimension", "depth", "sentence", "position", "token", "value"]
    return "largest values of the residual stream, each dimension once\n" + table(header, rows)


def _shown(count: int) -> list[int]:
    step = max(1, -(-(count - 1) // (SHOWN - 1)))
    return sorted({*range(0, count, step), count - 1})


def _writers(result: xr.Dataset) -> list[str]:
    return [str(writer) for writer in result["share"]["writer"].values] if "share" in result else []


def _number(value: Any) -> str:
    return "-" if np.isnan(float(value)) else f"{float(value):.4g}"


def _record(result: xr.Dataset) -> dict[str, Any]:
    groups = [str(group) for group in result["group"].values]
    record: dict[str, Any] = {
        "tokens": dict(zip(groups, result["tokens"].values.tolist(), strict=True))
    }
    for name in ("norm_resid", "step", "std", "share"):
        if name in result:
            values = result[name].sel(statistic="median") if name == "norm_resid" else result[name]
            record[name] = {group: _plain(values.sel(group=group)) for group in groups}
    return record


def _plain(values: xr.DataArray) -> Any:
    if values.ndim == 1:
        return plain_numbers(values.values)
    return {
        str(writer): plain_numbers(values.sel(writer=writer).values)
        for writer in values["writer"].values
    }

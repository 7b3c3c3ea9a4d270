"""``actlas downstream``: studies 3 to 5, what edits do to the residual stream and to the loss."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import click

from actlas.scripts.extraction.cluster_options import analysis_workers
from actlas.scripts.results.output import Answer, Destination, Output
from actlas.scripts.results.question import Question
from actlas.scripts.terminal.completion import complete_run
from actlas.scripts.terminal.options import json_option, output_options, store_option
from actlas.scripts.terminal.text import echo_json, plain_numbers, table
from actlas.store.catalog import Store
from actlas.store.errors import DamagedStore, UsageError, quoted
from actlas.store.format.edit_records import branch_of, edits_text
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.downstream.compute import Variant

TOGETHER = 4  # variants that are compared in one pass over the baseline


@click.command("downstream")
@click.argument(
    "references", metavar="VARIANT…", nargs=-1, required=True, shell_complete=complete_run
)
@store_option
@click.option(
    "--include-first-token",
    is_flag=True,
    help="Count first tokens, which dwarf all others in GPT-2.",
)
@output_options
@json_option
@analysis_workers
def command(
    references: tuple[str, ...],
    store_path: Path,
    include_first_token: bool,
    out: Destination,
    as_json: bool,
) -> None:
    """Compare each VARIANT with its run without edits, depth by depth: distance, steps, spread, and the change of loss.

    VARIANT is a run of `actlas sweep` or `actlas extract --edit`; names may be patterns, such as 'her-demo.scale*'.
    """
    variants = find_variants(Store(store_path), references)
    result, output = downstream_study(variants, include_first_token, out)
    if as_json:
        echo_json(
            {
                "baseline": _baseline(variants[0]).id,
                "variants": _records(result),
                "files": [str(p) for p in output.paths],
            }
        )
        return
    click.echo(f"{downstream_table(result)}\n\n{output}")


def find_variants(store: Store, references: tuple[str, ...]) -> list[Run]:
    """Return the runs of ``references``, names, ids or patterns, each once; raises UsageError if baselines differ."""
    names = list(store.names())
    found: dict[str, Run] = {}
    for reference in references:
        if set(reference) & set("*?["):
            matches = [store.run(name) for name in names if fnmatchcase(name, reference)]
            matches += store.variants_named(reference)
        else:
            matches = [store.run(reference)]
        if not matches:
            raise UsageError(f"no run has a name like {quoted(reference)}: `actlas ls` lists them")
        for run in matches:
            found.setdefault(run.id, run)
    variants = list(found.values())
    for run in variants:
        if not run.edits:
            raise UsageError(
                f"run {run.name} has no edits: wanted variants, as `actlas sweep` makes them"
            )
    baselines = {_baseline(run).id: run for run in variants}
    if len(baselines) > 1:
        one, other = list(baselines.values())[:2]
        raise UsageError(
            f"{one.name} and {other.name} have different baselines: compare variants of one at a time"
        )
    return variants


def downstream_study(
    variants: list[Run], include_first: bool, out: Destination
) -> tuple[xr.Dataset, Output]:
    """Compute, write result and figures; return the result and what was written."""
    from actlas.analysis import plots

    baseline = _named_baseline(variants[0])
    sites = (
        ("resid", "nll") if all("nll" in run.sites for run in (baseline, *variants)) else ("resid",)
    )
    found = _compared(
        baseline.dataset(sites), [_variant(run, sites) for run in variants], include_first
    )
    question = Question(
        "downstream",
        [baseline, *variants],
        {"include_first_token": include_first},
        _words(variants),
    )
    answer = Answer(question, found, {"variants": [run.name for run in variants]})
    answer.draw(plots.downstream_delta(answer.result))
    for kind in ("step", "std"):
        answer.draw(plots.downstream_profile(answer.result, kind), kind)
    return answer.result, answer.write(out)


def _words(variants: list[Run]) -> str:
    """Return what a file's name says of the variants: the edits of one, or how many there are."""
    return edits_text(variants[0].edits) if len(variants) == 1 else f"{len(variants)} variants"


def _compared(baseline: xr.Dataset, variants: list[Variant], include_first: bool) -> xr.Dataset:
    """Compute ``downstream`` a few variants at a time: dask's graph of a long sweep takes more memory than all it is of."""
    import xarray as xr
    from threadpoolctl import threadpool_limits

    from actlas.analysis.downstream.compute import downstream

    parts = []
    for start in range(0, len(variants), TOGETHER):
        try:
            lazy = downstream(
                baseline, variants[start : start + TOGETHER], include_first=include_first
            )
        except ValueError as error:
            raise UsageError(str(error)) from error
        with threadpool_limits(1, user_api="blas"):  # as in ``write_result``
            parts.append(lazy.compute())
    return xr.concat(
        parts,
        dim="variant",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        combine_attrs="override",
    )


def downstream_table(result: xr.Dataset) -> str:
    """Return a row per variant: distance at the first depth that it changes and at the last, change of loss."""
    last = result.sizes["depth"] - 1
    rows = []
    for variant in result["variant"].values:
        of_variant = result.sel(variant=variant)
        first = int(of_variant["first_depth"])
        delta = of_variant["delta"].values
        at_first = f"{delta[first]:.4g}" if first <= last else "none"
        loss = (
            f"{float(of_variant['nll_change']):+.4f}"
            if "nll_change" in of_variant
            else "not stored"
        )
        relative = f"{float(of_variant['relative_delta'][last]):.3g}"
        rows.append(
            (str(of_variant["edits"].values), first, at_first, f"{delta[last]:.4g}", relative, loss)
        )
    header = ("edits", "depth", "Δ there", f"at depth {last}", "relative", "Δ loss (nats)")
    return table(header, rows)


def _records(result: xr.Dataset) -> list[dict[str, object]]:
    return [
        {
            "name": str(variant),
            "edits": str(of_variant["edits"].values),
            "first_depth": int(of_variant["first_depth"]),
            **{
                name: plain_numbers(of_variant[name].values)
                for name in ("delta", "relative_delta", "step", "std")
            },
            "nll_change": float(of_variant["nll_change"]) if "nll_change" in of_variant else None,
        }
        for variant, of_variant in (
            (name, result.sel(variant=name)) for name in result["variant"].values
        )
    ]


def _variant(run: Run, sites: tuple[str, ...]) -> Variant:
    from actlas.analysis.downstream.compute import Variant

    dataset = run.dataset(sites)
    _, first_depth = branch_of(
        run.edits, dataset.sizes["depth"] - 1
    )  # before it the blocks are the baseline's own
    return Variant(run.name, edits_text(run.edits), first_depth, dataset)


def _baseline(run: Run) -> Run:
    if run.baseline is None:
        raise DamagedStore(
            f"the baseline of run {run.name} is not in the store: extract without edits first"
        )
    return run.baseline


def _named_baseline(variant: Run) -> Run:
    return Store(variant.folder.parent.parent).run(_baseline(variant).id)

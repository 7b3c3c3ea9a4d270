"""``actlas sweep``: many variants of one run, each stored like any other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from actlas.analysis.scan.declaration import skipped_layer
from actlas.pipeline.models.hook_names import check_layers, site_names
from actlas.pipeline.models.sites import SITES
from actlas.scripts.extraction.edit_check import PERCENT, edit_check_record, edit_checks, edit_notes
from actlas.scripts.extraction.planned import label_lines, label_record, missing_sites
from actlas.scripts.extraction.stopping import Interrupted
from actlas.scripts.terminal.completion import complete_sentences, complete_site
from actlas.scripts.terminal.options import extraction_options, json_option
from actlas.scripts.terminal.sections import SectionedCommand
from actlas.scripts.terminal.text import counted, echo_json, size, table
from actlas.store.format.edit_records import edits_text

if TYPE_CHECKING:
    from actlas.pipeline.extraction.plan import Plan
    from actlas.pipeline.extraction.progress import ExtractionStats
    from actlas.scripts.extraction.extraction import Extraction
    from actlas.scripts.extraction.request import Request
    from actlas.store.runs.run import Run

SWEEP_SITES = ("resid", "nll")


@dataclass(frozen=True)
class Stored:
    """A run of a sweep and what it took; no stats where it was stored already."""

    run: Run
    stats: ExtractionStats | None


@click.command(
    "sweep",
    cls=SectionedCommand,
    examples=[
        'actlas sweep mine.txt --model gpt2 --store atlas --edit "skip:layer=*"',
        'actlas sweep mine.txt --store atlas --edit "zero:site=z,layer=2,head=*" --dry-run',
    ],
    epilog=f"Sites: {' '.join(SITES)}. TransformerLens names are understood too.",
)
@click.argument("sentences", shell_complete=complete_sentences)
@extraction_options
@click.option(
    "--edit",
    "edits",
    multiple=True,
    required=True,
    metavar="EDITS",
    help="Edits, one variant each: a|b for alternatives, 2-5 for a range, * for all layers, "
    "layers or heads, such as "
    '"skip:layer=*" or "scale:layer=2,factor=0.5|1.5". May be repeated.',
)
@click.option(
    "--site",
    "sites",
    multiple=True,
    metavar="SITE",
    shell_complete=complete_site,
    help=f"What to keep; may be repeated.  [default: {' '.join(SWEEP_SITES)}]",
)
@click.option(
    "--dry-run", is_flag=True, help="List the variants and what they cost; change nothing."
)
@json_option
def command(
    request: Request,
    edits: tuple[str, ...],
    sites: tuple[str, ...],
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run SENTENCES with each of many edits, and once without.

    Variants to compare with `downstream` and `scan`.

    The model is loaded once. What is stored is not computed again, and layers before an edit are
    the baseline's.
    """
    from actlas.scripts.extraction.request import echo_skipped, plan_request

    kept, by_default = site_names(sites or SWEEP_SITES), () if sites else SWEEP_SITES
    options = replace(request.options, sites=kept, by_default=by_default)
    request = replace(request, options=options)
    planned = plan_request(request)
    check_layers(sites, planned.plan.model.geometry.n_layer)
    echo_skipped(planned)
    plans = variant_plans(planned.plan, edits)
    if dry_run:
        costs = {**_cost_record(plans), "labels": label_record(planned.plan)}
        lines = [_cost_text(plans), *label_lines(planned.plan)]
        echo_json(costs) if as_json else click.echo("\n".join(lines))
        return
    # by what is stored now
    labels, changed = (
        label_lines(planned.plan, done=True),
        label_record(planned.plan),
    )
    baseline, variants = carry_out_sweep(request, planned.plan, plans, quiet=quiet or as_json)
    for note in (note for each in variants for note in edit_notes(each.run)):
        click.echo(note, err=True)
    record = {**_record(baseline, variants), "labels": changed}
    echo_json(record) if as_json else click.echo("\n".join([_text(baseline, variants), *labels]))


def variant_plans(plan: Plan, edits: tuple[str, ...]) -> list[Plan]:
    """Return the plan of every variant of ``plan``.

    Raises UsageError for edits that its model has no place for.
    """
    from actlas.pipeline.edits.grid import expand
    from actlas.pipeline.extraction.planning import plan_variants

    return plan_variants(plan, [(edit,) for edit in expand(edits, plan.model.architecture)])


def carry_out_sweep(
    request: Request, plan: Plan, plans: list[Plan], *, quiet: bool = False
) -> tuple[Stored, list[Stored]]:
    """Return baseline and variants, those computed that were not stored.

    Raises Interrupted, saying how many are stored, when the user stops it; the same sweep goes on
    from there.
    """
    from actlas.scripts.extraction.extraction import extraction

    baselines = [each.baseline for each in plans if each.baseline]
    missing = (each.baseline for each in plans if each.missing and each.baseline)
    needed = next(missing, baselines[0] if baselines else plan)
    with extraction(request, [needed, *plans], quiet=quiet) as started:
        baseline = Stored(*started.carry_out(needed))
        # a variant has few units: workers take those of all variants
        if request.cluster is not None:
            return baseline, [Stored(*each) for each in started.carry_out_all(plans)]
        return baseline, _one_by_one(started, baseline, plans, quiet)


def _one_by_one(
    started: Extraction, baseline: Stored, plans: list[Plan], quiet: bool
) -> list[Stored]:
    from actlas.scripts.terminal.progress import Bar

    variants: list[Stored] = []
    for each in Bar(
        plans, unit=" variants", desc=f"{baseline.run.name}.*", disable=True if quiet else None
    ):
        try:
            variants.append(Stored(*started.carry_out(each, quiet=True)))
        except Interrupted as error:
            raise _interrupted(variants, plans) from error
        if started.stopped():  # too late for this extraction
            raise _interrupted(variants, plans)
    return variants


def _interrupted(variants: list[Stored], plans: list[Plan]) -> Interrupted:
    done = f"{len(variants)} of {len(plans)} variants are stored"
    return Interrupted(f"interrupted: {done}, run the same command again to go on")


def _cost_text(plans: list[Plan]) -> str:
    rows = [(edits_text(plan.edits), _state(plan), size(plan.missing_bytes)) for plan in plans]
    baseline = plans[0].baseline
    missing = (
        f"to compute first: {' '.join(missing_sites(baseline))}"
        if baseline and baseline.missing
        else "stored"
    )
    return f"baseline {missing}\n\n{table(('variant', 'state', 'to write'), rows)}"


def _state(plan: Plan) -> str:
    return "new" if not plan.run else "stored in part" if plan.missing else "stored"


def _cost_record(plans: list[Plan]) -> dict[str, Any]:
    baseline = plans[0].baseline
    return {
        "baseline": {"run": baseline.run_id, "missing_bytes": baseline.missing_bytes}
        if baseline
        else None,
        "variants": [
            {
                "run": plan.run_id,
                "edit": edits_text(plan.edits),
                "missing_bytes": plan.missing_bytes,
            }
            for plan in plans
        ],
    }


def _text(baseline: Stored, variants: list[Stored]) -> str:
    computed = [each.stats for each in variants if each.stats]
    rows = []
    for each in variants:
        for check in edit_checks(each.run):
            share = f"{PERCENT * check.changed_share:.3g} %"
            rows.append(
                (
                    check.edit,
                    "computed" if each.stats else "stored",
                    share,
                    f"{check.max_change:.4g}",
                )
            )
    seconds, written = (
        sum(sum(stats.seconds.values()) for stats in computed),
        size(sum(stats.nbytes for stats in computed)),
    )
    head = baseline.run
    study = f"scan {head.name}" if _is_scan(variants) else f"downstream '{head.name}.*'"
    lines = [
        f"baseline {head.name} ({head.id}): {'computed' if baseline.stats else 'stored already'}",
        f"{counted(len(variants), 'variant')}: {len(computed)} computed in {seconds:.1f} s, "
        f"{written}; "
        f"{len(variants) - len(computed)} stored already",
        "every edit was applied in every sentence, and upstream of it all is the baseline's\n",
        table(("variant", "state", "changed", "by at most"), rows),
        f"\nnext: actlas {study}",
    ]
    return "\n".join(lines)


def _is_scan(variants: list[Stored]) -> bool:
    return all(skipped_layer(each.run.edits) is not None for each in variants)


def _record(baseline: Stored, variants: list[Stored]) -> dict[str, Any]:
    return {
        "baseline": _run_record(baseline),
        "variants": [{**_run_record(each), **edit_check_record(each.run)} for each in variants],
    }


def _run_record(stored: Stored) -> dict[str, Any]:
    return {
        "run": stored.run.id,
        "name": stored.run.name,
        "computed": stored.stats is not None,
        "bytes_written": stored.stats.nbytes if stored.stats else 0,
    }

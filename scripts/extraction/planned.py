"""What a plan says before anything is done.

``--dry-run`` and a cache that explains its misses print it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actlas.pipeline.models.sites import SITES
from actlas.scripts.extraction.kept import parts_text
from actlas.scripts.terminal.text import counted, printable, size
from actlas.store.errors import DamagedStore, LaterRecord
from actlas.store.format.edit_records import edits_text
from actlas.store.format.parts import SitePart, sites_of, together

if TYPE_CHECKING:
    from actlas.pipeline.extraction.plan import Plan

MOST_NAMES = 60  # characters of column names in a line


def nearest_text(plan: Plan) -> str:
    """Name the stored run that comes nearest, and what it differs in."""
    near = plan.nearest()
    return (
        f"the nearest run, {near[0].name}, differs in {'; '.join(near[1])}"
        if near
        else "the store has no run yet"
    )


def miss_text(plan: Plan, remedy: str = "leave --cached-only out") -> str:
    """Return one line: what is not stored, and what the nearest run differs in."""
    missing = f"{len(plan.missing):,} of {counted(len(plan.units), 'unit')}"
    if plan.run:
        return (
            f"run {plan.run.name} lacks {missing_text(plan)} in {missing}: {remedy} to compute them"
        )
    return f"not stored: {nearest_text(plan)}; {remedy} to compute {missing}"


def missing_sites(plan: Plan) -> list[str]:
    """Return the sites that some unit lacks, in table order."""
    missing = frozenset().union(*(sites_of(parts) for _, parts in plan.missing))
    return [site for site in SITES if site in missing]


def missing_text(plan: Plan) -> str:
    """Say what is to be computed: sites, with their layers or depths where it is not all."""
    missing = together(part for _, parts in plan.missing for part in parts)
    ordered = {site: missing[site] for site in SITES if site in missing}
    parts = [SitePart(site, tuple(sorted(numbers))) for site, numbers in ordered.items()]
    return parts_text(parts, plan.model.geometry.n_layer)


def plan_text(plan: Plan) -> str:
    """Say what is stored, what would be computed, and what that costs."""
    state = "new" if not plan.run else "stored in part" if plan.missing else "stored"
    tokens = counted(plan.tokens.labels.tokens, "token")
    lines = [
        f"run         {plan.run.name if plan.run else plan.run_id}: {state}",
        f"sentences   {len(plan.tokens.labels.text):,}, {tokens} in "
        f"{counted(len(plan.units), 'unit')}",
        f"special     {printable(str(plan.tokens.special))}",
        f"sites       {parts_text(plan.parts, plan.model.geometry.n_layer)}",
        f"stored      {len(plan.units) - len(plan.missing):,} of "
        f"{counted(len(plan.units), 'unit')}",
    ]
    kept = kept_text(plan)
    if kept:
        lines.insert(4, f"tokens      {kept}")
    if plan.missing:
        lines.append(f"to compute  {missing_text(plan)} in {counted(len(plan.missing), 'unit')}")
        of_all = f" ({size(plan.missing_bytes_of_all)} with all tokens)" if kept else ""
        lines.append(f"to write    {size(plan.missing_bytes)}{of_all}")
        lines.append(f"memory      about {size(plan.memory_bytes)}")
    if plan.baseline:
        lines.append(f"edits       {edits_text(plan.edits)}")
        lines.append(f"baseline    {_baseline_text(plan.baseline)}")
    lines += label_lines(plan)
    if not plan.run:
        lines.append(f"nearest     {nearest_text(plan)}")
    return "\n".join(lines)


def kept_text(plan: Plan) -> str:
    """Say which tokens are kept, where not all are; empty where they are."""
    kept = plan.tokens.labels.kept
    if kept is None:
        return ""
    text = printable(" or ".join(kept.tokens))
    return f"{text}: {kept.rows:,} of {counted(len(kept.mask), 'token')} kept"


def kept_record(plan: Plan) -> dict[str, Any] | None:
    """Return for scripts what ``kept_text`` says."""
    kept = plan.tokens.labels.kept
    return None if kept is None else {"tokens": list(kept.tokens), "rows": kept.rows}


def label_lines(plan: Plan, *, done: bool = False) -> list[str]:
    """Say what the columns of this input do to the labels of a stored run; nothing if equal.

    done: say it as a thing that is done, before it is.
    """
    # the run's labels are read only here: a plan must not need them
    if plan.labelled is None:
        return []
    change = plan.label_change
    if change:
        become = "labels are now" if done else "labels      would become"
        return [f"{become} version {change.version}: {printable(change.summary)}"]
    try:
        record = plan.labelled.label_record
    except LaterRecord:  # nothing is added to a run of which this actlas cannot read all
        raise
    except DamagedStore as error:
        return [f"labels      {error}"]
    if plan.tokens.labels.columns or not record.columns:
        return []
    stay = (
        f"labels stay version {record.number} ({printable(' '.join(record.columns))[:MOST_NAMES]})"
    )
    return [f"{stay}: this input has no columns; `actlas relabel` replaces them"]


def label_record(plan: Plan) -> dict[str, Any] | None:
    """Return for scripts what ``label_lines`` says of a change."""
    return plan.label_change.to_json() if plan.label_change else None


def plan_record(plan: Plan) -> dict[str, Any]:
    """Return what ``plan_text`` says, for scripts."""
    near = plan.nearest()
    return {
        "run": plan.run_id,
        "sentences": len(plan.tokens.labels.text),
        "tokens": plan.tokens.labels.tokens,
        "special": plan.tokens.special.to_json(),
        "sites": list(plan.options.sites),
        "numbers": {part.site: part.numbers for part in plan.parts},
        "tokens_kept": kept_record(plan),
        "units": len(plan.units),
        "missing": {
            "units": len(plan.missing),
            "sites": missing_sites(plan),
            "bytes": plan.missing_bytes,
        },
        "memory_bytes": plan.memory_bytes,
        "labels": label_record(plan),
        "edits": [edit.text for edit in plan.edits],
        "baseline": plan_record(plan.baseline) if plan.baseline else None,
        "nearest": {"run": near[0].name, "differs": near[1]} if near else None,
    }


def _baseline_text(plan: Plan) -> str:
    if plan.run and not plan.missing:
        return f"{plan.run.name}: stored"
    name = plan.run.name if plan.run else plan.run_id
    return f"{name}: to be computed first, {missing_text(plan)}, {size(plan.missing_bytes)}"

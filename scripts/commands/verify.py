"""``actlas verify``: every stored byte against its checksum."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actlas.scripts.terminal.completion import complete_run
from actlas.scripts.terminal.options import (
    is_export,
    is_results,
    json_option,
    open_run,
    store_option,
)
from actlas.scripts.terminal.sections import SectionedCommand
from actlas.scripts.terminal.text import counted, echo_json, printable, size
from actlas.store.errors import DamagedStore, UsageError
from actlas.store.format.parts import SitePart, parts_of, together

if TYPE_CHECKING:
    from actlas.store.format.commit_record import Work
    from actlas.store.maintenance.checks import Checked
    from actlas.store.maintenance.repair import Begun, Repair
    from actlas.store.runs.run import Run

READOUTS = "(readouts)"  # no name of a run


@dataclass
class _Found:
    """What was checked, and what was done about it."""

    store: Path
    runs: list[Run]
    damaged: dict[str, DamagedStore]  # what of the store cannot be opened, by id or name
    checked: dict[str, list[Checked]] = field(default_factory=dict)
    repaired: dict[str, tuple[Run, Repair]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)  # what was done about names and readouts

    @property
    def problems(self) -> list[str]:
        """Return all that was wrong."""
        found = [
            problem
            for items in self.checked.values()
            for item in items
            for problem in item.problems
        ]
        return found + [str(error) for error in self.damaged.values()]


@click.command(
    "verify",
    cls=SectionedCommand,
    examples=[
        "actlas verify --store actlas-demo/store",
        "actlas verify actlas-demo",
    ],
)
@click.argument("reference", metavar="[RUN|DIR]", required=False, shell_complete=complete_run)
@store_option
@click.option(
    "--repair",
    "repairing",
    is_flag=True,
    help="Write again what is known, drop what is damaged, say what computes it again.",
)
@json_option
def command(reference: str | None, store_path: Path, repairing: bool, as_json: bool) -> None:
    """Check every committed byte of RUN, or of all runs.

    Exit with 1 if anything is missing or altered.

    RUN may be a file that `actlas export` made. DIR is a folder of results: every result and figure
    in it is checked.

    With --repair, lost records and names are written again from their second copy. Damaged units
    leave their run, and with them those of its variants that share blocks with them; the commands
    that restore them are shown. It exits with 1 only if damage is left, such as files that could
    not be read for want of permission: these are never dropped.
    """
    if reference and is_results(reference, store_path):
        if repairing:
            raise UsageError(
                f"{reference} is a folder of results: run the study, or the commands that "
                "wrote them, again"
            )
        from actlas.scripts.results.verify import verify_folder

        sys.exit(0 if verify_folder(Path(reference), as_json=as_json) else 1)
    if repairing and reference and is_export(reference):
        raise UsageError(f"{reference} is an export, which cannot be repaired: export it again")
    from actlas.store.readouts.verify import verify_readouts

    found = _Found(store_path, *_runs(reference, store_path))
    for run in found.runs:
        found.checked[run.name] = list(_check(run))
    if not reference and (readouts := list(verify_readouts(store_path))):
        found.checked[READOUTS] = readouts
    left = _repair(found, whole=not reference) if repairing else found.problems
    if as_json:
        _echo_record(found, repairing)
    else:
        _echo(found)
    sys.exit(1 if left else 0)


def _repair(found: _Found, *, whole: bool) -> list[str]:
    """Repair the runs, and the variants that lose blocks by it; return what is left as it is."""
    from actlas.store.catalog import Store
    from actlas.store.maintenance.repair import begin, condemned
    from actlas.store.readouts.verify import drop_damaged

    store = Store(found.store)
    # what a baseline will drop must be known before its variants are looked at
    baselines_first = sorted(found.runs, key=lambda run: run.baseline_id is not None)
    begun = {run.id: begin(run, found.checked[run.name]) for run in baselines_first}
    going = {run_id: condemned(each) for run_id, each in begun.items() if not each.run.baseline_id}
    for run_id in [
        run_id for run_id, works in going.items() if works or begun[run_id].report.dropped
    ]:
        for variant in store.variants(run_id):
            if variant.id not in begun:
                begun[variant.id] = begin(variant, ())
    finished = _finished(begun, going)
    found.repaired = {run_id: (each.run, finished[run_id]) for run_id, each in begun.items()}
    left = [reason for _, done in found.repaired.values() for reason in done.left]
    if not whole:
        return left
    dropped, kept = drop_damaged(store.path)
    found.names, left = [*store.repair_names(), *dropped], left + kept
    return left + [str(error) for error in (store.damaged() if found.damaged else {}).values()]


def _finished(begun: dict[str, Begun], going: dict[str, frozenset[Work]]) -> dict[str, Repair]:
    """Finish repairs, by id, the last first: variants drop units before their baseline does.

    Killed at any time, what is there can be read. going: what each baseline is about to drop.
    """
    from actlas.store.maintenance.repair import finish, stranded_units

    finished, needed = dict[str, Repair](), dict[str, set[int]]()
    # variants first: a unit that they could not drop keeps its blocks in the baseline
    for run_id, each in reversed(begun.items()):
        baseline = each.run.baseline_id or ""
        losing = going.get(baseline, frozenset())
        finished[run_id] = finish(each, losing, needed.get(run_id, ()))
        kept = stranded_units(each.run, losing) if losing else ()
        needed.setdefault(baseline, set()).update(unit for unit, _ in kept)
    return finished


def _echo(found: _Found) -> None:
    if not found.runs and not found.damaged:
        click.echo(f"{found.store} holds no run yet: nothing to check")
    missing = {
        run.name: _missing_units(run)
        for run in found.runs
        if not any(i.problems for i in found.checked[run.name])
    }
    _echo_verdicts(found.checked, missing, found.damaged)
    for problem in found.problems:
        click.echo(printable(f"  {problem}"), err=True)
    for done in found.names:
        click.echo(done)
    _echo_repairs(_repairs(found))


def _echo_record(found: _Found, repairing: bool) -> None:
    record: dict[str, Any] = {
        "runs": {name: _record(items) for name, items in found.checked.items()}
    }
    record["problems"] = found.problems
    echo_json({**record, "repairs": _repairs(found), "names": found.names} if repairing else record)


def _echo_verdicts(
    checked: dict[str, list[Checked]], missing: dict[str, str], damaged: Iterable[str]
) -> None:
    for name, items in checked.items():
        bad = sum(bool(item.problems) for item in items)
        commits = sum(item.kind == "commit" for item in items)
        what = counted(*((len(items), "file") if name == READOUTS else (commits, "commit")))
        verdict = "ok" if not bad else f"{bad} DAMAGED"
        read = size(sum(item.nbytes for item in items))
        click.echo(f"{name}: {what}, {read}, {verdict}{missing.get(name, '')}")
    for name in damaged:
        click.echo(f"{name}: DAMAGED")


def _runs(reference: str | None, store: Path) -> tuple[list[Run], dict[str, DamagedStore]]:
    """Return the runs to check, and what of the store cannot be opened, by id or name."""
    from actlas.store.catalog import Store

    return ([open_run(reference, store)], {}) if reference else Store(store).survey()


def _check(run: Run) -> Iterator[Checked]:
    from actlas.store.maintenance.verify import verify
    from actlas.store.maintenance.verify_export import verify_export
    from actlas.store.runs.exported import Exported

    return verify_export(run) if isinstance(run, Exported) else verify(run)


def _missing_units(run: Run) -> str:
    """Return what a run without damage still lacks.

    Never extracted, or its commits were removed; the two look alike.
    """
    held = sorted(run.index.known)
    missing = run.missing(held)
    units = len(missing) if held else len(run.units)
    return (
        f"; {units} of {len(run.units)} units are not stored: the same `actlas extract` makes them"
        if units
        else ""
    )


def _record(items: list[Checked]) -> dict[str, int]:
    return {
        "commits": sum(item.kind == "commit" for item in items),
        "bytes": sum(item.nbytes for item in items),
        "damaged": sum(bool(i.problems) for i in items),
    }


def _repairs(found: _Found) -> dict[str, Any]:
    """Return per repaired run what was written again, dropped and left.

    Also return the command that restores it.
    """
    from actlas.scripts.extraction.restoring import extract_command

    return {
        run.name: {
            "restored": done.restored,
            "dropped": [
                {"commit": item.commit, "unit": item.unit, "sites": item.sites}
                for item in done.dropped
            ],
            "rewritten": done.rewritten,
            "left": done.left,
            "restore": extract_command(run, _missing_parts(run, done), found.store)
            if done.dropped
            else None,
            "source": run.description.get("source"),
        }
        for run, done in found.repaired.values()
        if done.dropped or done.left or done.rewritten or done.restored
    }


def _missing_parts(run: Run, done: Repair) -> list[SitePart]:
    """Return what to extract again: all that the run has where a commit does not say any more."""
    parts = [part for item in done.dropped for part in item.parts]
    if not all(item.parts for item in done.dropped):
        parts += run.index.whole(run.index.known)
    kept = sorted({part.kept for part in parts})
    held = {each: together(part for part in parts if part.kept == each) for each in kept}
    return [part for each in kept for part in parts_of(held[each], each)]


def _echo_repairs(repairs: dict[str, Any]) -> None:
    for name, done in repairs.items():
        for restored in done["restored"]:
            click.echo(f"restored {restored} of {name}")
        for item in done["dropped"]:
            sites = f" ({' '.join(item['sites'])})" if item["sites"] else ""
            click.echo(f"dropped unit {item['unit']}{sites} of {name}: {item['commit']}")
        for what in done["rewritten"]:
            click.echo(f"{name}: {what}")
        for reason in done["left"]:
            click.echo(f"  {reason}", err=True)
        if done["restore"]:
            click.echo(
                f"to restore it, with the sentences of {done['source']}:\n  {done['restore']}"
            )

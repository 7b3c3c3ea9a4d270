"""The check of the edits of a run, over all its units.

What each did, and that what lies before is the baseline's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actlas.scripts.terminal.text import counted
from actlas.store.errors import DamagedStore
from actlas.store.format.schema import Json

if TYPE_CHECKING:
    from actlas.store.runs.run import Run


PERCENT = 100


@dataclass(frozen=True)
class EditCheck:
    """What one edit did in a whole run."""

    edit: str
    times_applied: int  # sentences
    values: int  # at its target, over all tokens
    changed: int
    max_change: float

    @property
    def changed_share(self) -> float:
        """Share of the values that the edit changed, 0 to 1."""
        return self.changed / self.values if self.values else 0.0


def edit_checks(run: Run) -> list[EditCheck]:
    """Return the check of each edit, in their order.

    Empty for a run without edits or without a unit.
    """
    # further sites of a unit have the same check again
    of_unit = {commit.unit.number: commit.edits for commit in run.commits}
    try:
        return [_over_units(records) for records in zip(*of_unit.values(), strict=True)]
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedStore(
            f"commits of run {run.name} have no check of its edits as this actlas writes it "
            f"({error}): remove the run and extract it again"
        ) from error


def _over_units(records: Sequence[Json]) -> EditCheck:
    """Return the check of one edit over all units, from those of each."""
    return EditCheck(
        records[0]["edit"],
        sum(record["times_applied"] for record in records),
        sum(record["values"] for record in records),
        sum(record["changed"] for record in records),
        max(record["max_change"] for record in records),
    )


def edit_check_lines(run: Run) -> list[str]:
    """Return the check as lines for the terminal; none for a run without edits."""
    from actlas.store.catalog import Store

    found = edit_checks(run)
    if not found:
        return [
            f"edit       {edit.text} (the check is with the run in its store)" for edit in run.edits
        ]
    lines = []
    for check in found:
        share = (
            f"{PERCENT * check.changed_share:.3g} % of {check.values:,} values by at most "
            f"{check.max_change:.4g}"
        )
        lines.append(f"edit       {check.edit}")
        lines.append(f"           applied in {counted(check.times_applied, 'sentence')}")
        lines.append(f"           changed {share if check.changed else 'nothing'}")
    compared, difference = _upstream(run)
    name = (
        Store(run.folder.parent.parent).run(run.baseline.id).name
        if run.baseline
        else "which is not in the store"
    )
    how = "exactly" if difference == 0 else f"within {difference:.2g}, its stored precision"
    lines.append(f"upstream   equals the baseline, {name}, {how} in {compared:,} values compared")
    return lines


def unchanged(run: Run) -> list[str]:
    """Return a note on each edit of ``run`` that changed no value.

    That is a control, or a slip.
    """
    silent = [check.edit for check in edit_checks(run) if not check.changed]
    return [
        f"note: {edit} changed nothing: run {run.name} has the numbers of its baseline there"
        for edit in silent
    ]


def edit_notes(run: Run) -> list[str]:
    """Return what is to be kept in mind of a variant: what changed nothing, and other devices.

    Devices round otherwise: what they differ in looks like an effect of the edits.
    """
    notes = unchanged(run)
    if run.baseline is not None:
        own, its = _devices(run), _devices(run.baseline)
        if own and its and own != its:
            notes.append(
                f"note: run {run.name} was computed on {', '.join(own)}, its baseline on "
                f"{', '.join(its)}: they differ by the rounding of the devices too"
            )
    return notes


def _devices(run: Run) -> list[str]:
    """Return the kinds of device, such as ``cuda (NVIDIA H100)``, that computed the units."""
    return sorted({str(commit.provenance.get("device", "?")) for commit in run.commits})


def edit_check_record(run: Run) -> dict[str, Any]:
    """Return the check for scripts; empty for a run without edits."""
    found = edit_checks(run)
    if not found:
        return {}
    compared, difference = _upstream(run)
    return {
        "edits": [vars(check) for check in found],
        "baseline": run.baseline.id if run.baseline else None,
        "upstream": {"compared": compared, "max_difference": difference},
    }


def _upstream(run: Run) -> tuple[int, float]:
    records = {commit.unit.number: commit.upstream for commit in run.commits}.values()
    return sum(record["compared"] for record in records), max(
        record["max_difference"] for record in records
    )

"""The proof of the edits of a run, over all its units.

What each did, and that what lies before is the baseline's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actlas.scripts.terminal.text import counted
from actlas.store.catalog import Store
from actlas.store.runs.run import Run

PERCENT = 100


@dataclass(frozen=True)
class Proof:
    """What one edit did in a whole run."""

    edit: str
    fired: int  # sentences
    values: int  # at its spot, over all tokens
    changed: int
    max_change: float

    @property
    def changed_share(self) -> float:
        """Share of the values that the edit changed, 0 to 1."""
        return self.changed / self.values if self.values else 0.0


def proofs(run: Run) -> list[Proof]:
    """Return the proof of each edit, in their order.

    Empty for a run without edits or without a unit.
    """
    of_unit = {
        commit.unit.number: commit.edits for commit in run.commits
    }  # further sites of a unit prove the same again
    return [
        Proof(
            records[0]["edit"],
            sum(record["fired"] for record in records),
            sum(record["values"] for record in records),
            sum(record["changed"] for record in records),
            max(record["max_change"] for record in records),
        )
        for records in zip(*of_unit.values(), strict=True)
    ]


def proof_lines(run: Run) -> list[str]:
    """Return the proof as lines for the terminal; none for a run without edits."""
    found = proofs(run)
    if not found:
        return [
            f"edit       {edit.text} (the proof is with the run in its store)" for edit in run.edits
        ]
    lines = []
    for proof in found:
        share = (
            f"{PERCENT * proof.changed_share:.3g} % of {proof.values:,} values by at most "
            f"{proof.max_change:.4g}"
        )
        lines.append(f"edit       {proof.edit}")
        lines.append(f"           fired for {counted(proof.fired, 'sentence')}")
        lines.append(f"           changed {share if proof.changed else 'nothing'}")
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

    A control that is meant, or a slip.
    """
    silent = [proof.edit for proof in proofs(run) if not proof.changed]
    return [
        f"note: {edit} changed nothing: run {run.name} has the numbers of its baseline there"
        for edit in silent
    ]


def proof_record(run: Run) -> dict[str, Any]:
    """Return the proof for scripts; empty for a run without edits."""
    found = proofs(run)
    if not found:
        return {}
    compared, difference = _upstream(run)
    return {
        "edits": [vars(proof) for proof in found],
        "baseline": run.baseline.id if run.baseline else None,
        "upstream": {"compared": compared, "max_difference": difference},
    }


def _upstream(run: Run) -> tuple[int, float]:
    records = {commit.unit.number: commit.upstream for commit in run.commits}.values()
    return sum(record["compared"] for record in records), max(
        record["max_difference"] for record in records
    )

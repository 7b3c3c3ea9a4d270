"""The stages that compare variants with the run without edits: ``scan`` and ``downstream``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from actlas.scripts.results.output import Destination
from actlas.scripts.study.stage import Edits, Finding, Stage, Subject
from actlas.scripts.terminal.text import counted
from actlas.store.errors import UsageError, unknown
from actlas.store.format.edit_records import edits_text
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    from actlas.pipeline.extraction.plan import Plan


@dataclass(frozen=True)
class Scan(Stage):
    """``actlas scan``."""

    title = "scan"
    needs = ("resid", "nll")
    needs_edits = True

    def check(self, plan: Plan, edits: Sequence[Edits]) -> None:
        """Raise UsageError where no block is skipped."""
        from actlas.scripts.analyses.scan import skipped_block

        if all(skipped_block(each) is None for each in edits):
            raise UsageError('the run skips no block: give it edits = ["skip:block=*"]')

    def runs(self, subject: Subject) -> list[Run]:
        """Return the run and its variants that skip a block."""
        from actlas.scripts.analyses.scan import skipped_blocks

        return [subject.run, *skipped_blocks(subject.run).values()]

    def recorded(self, subject: Subject) -> dict[str, Any]:
        """Return nothing: the runs say it all."""
        return {}

    def carry_out(self, subject: Subject, out: Destination) -> Finding:
        """Rank the blocks."""
        from actlas.scripts.analyses.scan import scan_study

        result, output = scan_study(subject.run, out)
        ranked = result["nll_change"].sortby(result["nll_change"])
        least, most = (
            f"block {int(end['layer'])} ({float(end):+.3g} nats)" for end in (ranked[0], ranked[-1])
        )
        return Finding(output, f"{ranked.size} blocks: skipping {most} costs most, {least} least")


@dataclass(frozen=True)
class Downstream(Stage):
    """``actlas downstream``."""

    edits: tuple[str, ...] = ("*",)
    include_first_token: bool = False

    title = "downstream"
    needs = ("resid",)
    needs_edits = True

    def check(self, plan: Plan, edits: Sequence[Edits]) -> None:
        """Raise UsageError for a pattern that no edit of the run matches."""
        for pattern in self.edits:
            if not any(_matches(each, pattern) for each in edits):
                raise unknown("edit", pattern, map(edits_text, edits))

    def runs(self, subject: Subject) -> list[Run]:
        """Return the run and the variants that are compared with it."""
        return [subject.run, *self._variants(subject)]

    def _variants(self, subject: Subject) -> list[Run]:
        """Return the variants in the order of the study file, each once."""
        variants = subject.variants.values()
        found = {
            run.id: run
            for pattern in self.edits
            for run in variants
            if _matches(run.edits, pattern)
        }
        return list(found.values())

    def recorded(self, subject: Subject) -> dict[str, Any]:
        """Return whether first tokens count."""
        return {"include_first_token": self.include_first_token}

    def carry_out(self, subject: Subject, out: Destination) -> Finding:
        """Compare."""
        from actlas.scripts.analyses.downstream import downstream_study

        variants = self._variants(subject)
        result, output = downstream_study(variants, self.include_first_token, out)
        loss = ""
        if "nll_change" in result:
            changes = result["nll_change"].values
            loss = (
                f", change of loss {changes.min():+.3g} to {changes.max():+.3g} nats"
                if changes.size > 1
                else ""
            )
            loss = loss or f", change of loss {changes[0]:+.3g} nats"
        return Finding(output, f"{counted(len(variants), 'variant')}{loss}")


def _matches(edits: Edits, pattern: str) -> bool:
    """Whether the text of a variant's edits, or of one of them, is as a pattern has it."""
    texts = [edits_text(edits), *(edit.text for edit in edits)]
    return any(text == pattern or fnmatchcase(text, pattern) for text in texts)

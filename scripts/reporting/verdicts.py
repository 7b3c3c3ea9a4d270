"""What is to be believed of the results: what holds, what does not, what nobody looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from actlas.scripts.reporting.results import Folder, naming_result
from actlas.scripts.reporting.subjects import Subject, day
from actlas.scripts.terminal.text import counted, size

HOLDS, FAILS, OPEN = "holds", "fails", "not checked"


@dataclass(frozen=True)
class Verdict:
    """Something to be believed or not: HOLDS, FAILS or OPEN, and why.

    section: of the result that it is of, where it is of one.
    """

    claim: str
    state: str
    why: str
    section: str = ""


def verdict_line(verdicts: Sequence[Verdict]) -> str:
    """Return all verdicts in a line, failed ones first: ``4 checks hold, 1 open: …``."""
    by_state = {state: [v for v in verdicts if v.state == state] for state in (FAILS, HOLDS, OPEN)}
    counts: list[str] = []
    words = {FAILS: ("fails", "fail"), HOLDS: ("holds", "hold"), OPEN: ("open", "open")}
    for state, found in by_state.items():
        if found:
            verb = words[state][len(found) > 1]
            counts.append(f"{counted(len(found), 'check') if not counts else len(found)} {verb}")
    if not counts:
        return "Nothing was checked"
    named = by_state[FAILS] or by_state[OPEN] or by_state[HOLDS]
    # lower case within the sentence, but not of a name
    claims = "; ".join(f"{each.claim[0].lower()}{each.claim[1:]}" for each in named)
    state = {FAILS: "failed", OPEN: "open", HOLDS: "held"}[named[0].state]
    return f"{', '.join(counts)} ({state}: {claims})"


def verdicts_of(folder: Folder, subjects: list[Subject], sections: Sequence[str]) -> list[Verdict]:
    """Return what holds, what does not, and what nobody looked at.

    sections: of the page, one for each result of ``folder``.
    """
    return [_stored(folder), *_checks(folder, sections), *_edits(subjects)]


def _stored(folder: Folder) -> Verdict:
    claim = "Every stored byte is what was committed"
    checks = [each["verified"] for each in folder.record["runs"].values() if each.get("verified")]
    if not checks:
        return Verdict(claim, OPEN, "`actlas verify` reads every byte and says")
    shards, nbytes = (sum(check[key] for check in checks) for key in ("checked", "bytes"))
    when = day(max(check["when"] for check in checks))
    return Verdict(claim, HOLDS, f"{shards} shards, {size(nbytes)}, checked on {when}")


def _checks(folder: Folder, sections: Sequence[str]) -> Iterator[Verdict]:
    """Yield what the studies check: of each result what it bears out or not."""
    for result, section in zip(folder.results, sections, strict=True):
        study = result.study
        with naming_result(result):
            for check in study.checks(result.described) if study else []:
                yield Verdict(check.claim, HOLDS if check.holds else FAILS, check.why, section)


def _edits(subjects: list[Subject]) -> list[Verdict]:
    found = []
    for subject in subjects:
        if not subject.edit_checks:
            continue
        edits = [edit for check in subject.edit_checks.values() for edit in check["edits"]]
        silent = [edit["edit"] for edit in edits if edit["times_applied"] == 0]
        upstream = max(
            check["upstream"]["max_difference"] for check in subject.edit_checks.values()
        )
        how = "exactly" if upstream == 0 else f"within {upstream:.2g}"
        claim = f"Every edit of {subject.name} was applied"
        if silent:
            found.append(Verdict(claim, FAILS, f"{silent[0]} never was"))
        else:
            idle = sum(edit["changed"] == 0 for edit in edits)
            nothing = f", {idle} of them changed nothing" if idle else ""
            why = (
                f"{counted(len(edits), 'edit')}{nothing}; upstream equals the run without edits "
                f"{how}"
            )
            found.append(Verdict(claim, HOLDS, why))
    return found

"""What the results are of.

The runs in their store, and the check of their edits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actlas.analysis.declaring import Table, cell
from actlas.scripts.extraction.edit_check import PERCENT, edit_check_record
from actlas.scripts.extraction.restoring import extract_command
from actlas.scripts.reporting.results import Folder, Result, naming_result
from actlas.scripts.terminal.text import counted, heads_text, size, special_text
from actlas.store.catalog import Store
from actlas.store.errors import ActlasError
from actlas.store.format.parts import SitePart
from actlas.store.runs.run import Run


@dataclass(frozen=True)
class Subject:
    """A run without edits, and the variants of it that a result is of.

    ``run`` is None where the store does not have it.
    """

    id: str
    run: Run | None
    variants: Mapping[str, Run]  # by id
    edit_checks: Mapping[str, dict[str, Any]]  # by id, of those with edits

    @property
    def name(self) -> str:
        """How the page calls it."""
        return self.run.name if self.run else self.id

    @property
    def line(self) -> str:
        """What it is, in a line: run, model, how much text."""
        if self.run is None:
            return f"run {self.id}, whose store is not at hand"
        run, model = self.run, self.run.description["model"]
        edits = f", {counted(len(self.variants), 'run')} with edits" if self.variants else ""
        return (
            f"{run.name}: {model['name']}, {counted(model['layer'], 'layer')}; "
            f"{counted(run.sentences, 'sentence')}, {counted(run.tokens, 'token')}{edits}"
        )

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What it is, as pairs of a word and a value."""
        if self.run is None:
            return [("run", self.id), ("store", "not at hand, so nothing else is known of it")]
        run, description = self.run, self.run.description
        model, numerics = description["model"], run.specification["numerics"]
        revision = f", revision {model['revision']}" if model.get("revision") else ""
        devices = sorted({str(commit.provenance.get("device", "?")) for commit in run.commits})
        tokens = counted(run.tokens, "token")
        trained = numerics["mode"] == "train"
        mode = f"train: dropout, seed {numerics['seed']}" if trained else "eval: no dropout"
        return [
            ("run", f"{run.id} ({', '.join(run.names) or 'without a name'})"),
            (
                "model",
                f"{model['name']}{revision}: {model['layer']} layers, {heads_text(model)}, "
                f"d_model {model['d_model']}",
            ),
            ("weights", str(run.specification["model"]["weights"])),
            ("config", f"sha256:{run.specification['model']['config']}"),
            (
                "sentences",
                f"{run.sentences:,} of {description['source']}, "
                f"{tokens}{special_text(description)}",
            ),
            ("labels", labels_fact(run)),
            ("sites", " ".join(run.sites)),
            (
                "numerics",
                f"computed in {numerics['dtype']}, stored in {numerics['stored_dtype']}, "
                f"{numerics['attention']} attention",
            ),
            ("mode", mode),
            ("size", f"{size(run.nbytes)} in {counted(len(run.units), 'unit')}"),
            (
                "made",
                f"{day(description['created'])} with actlas {description['actlas']} on "
                f"{', '.join(devices)}",
            ),
        ]

    @property
    def table(self) -> Table | None:
        """The edits of its variants, each with its check."""
        rows = []
        for found in self.edit_checks.values():
            for edit in found["edits"]:
                share = PERCENT * edit["changed"] / edit["values"] if edit["values"] else 0.0
                upstream = cell(found["upstream"]["max_difference"], ".3g")
                rows.append(
                    (
                        cell(edit["edit"]),
                        cell(edit["times_applied"], "d"),
                        cell(share, ".3g"),
                        cell(edit["max_change"]),
                        upstream,
                    )
                )
        header = (
            "edit",
            "sentences it was applied in",
            "changed (% of values)",
            "by at most",
            "upstream differs by",
        )
        return (
            Table("What each edit did, as recorded while it ran", header, tuple(rows))
            if rows
            else None
        )


def labels_fact(run: Run) -> str:
    """Return version and columns of a run's labels, or why they cannot be read."""
    try:
        return f"version {run.labels_version}: {' '.join(run.label_record.columns) or 'no columns'}"
    except ActlasError as error:
        return str(error)


def outdated_labels(result: Result, runs: Mapping[str, Run]) -> str | None:
    """Return a line where ``runs``, by id, have other labels now than the result was made with."""
    for run, stamp in zip(result.runs, result.labels, strict=False):
        version, _, digest = stamp.partition(":")
        if run in runs and _labels_digest(runs[run]) not in (None, digest):
            now = f"{runs[run].name} has version {runs[run].labels_version} now"
            return (
                f"Made with version {version} of the labels; {now}. Run the study, or the "
                f"command that wrote it, again."
            )
    return None


def _labels_digest(run: Run) -> str | None:
    try:
        return run.labels_digest
    except ActlasError:
        return None


def find_subjects(folder: Folder, store: Path | None) -> tuple[list[Subject], str | None]:
    """Return the runs that the results are of, and why they could not be opened, if so."""
    wanted: dict[str, dict[str, None]] = {}
    for result in folder.results:
        with naming_result(result):
            first, *others = result.runs
            wanted.setdefault(first, {}).update(dict.fromkeys(others))
    for each in folder.record["runs"].values():
        wanted.setdefault(each["id"], {}).update(dict.fromkeys(each["variants"].values()))
    try:
        opened = Store(store) if store else None
    except ActlasError as error:
        return [Subject(run, None, {}, {}) for run in wanted], str(error)
    reason = None if opened else "no store was named: give --store"
    return [_subject(opened, run, others) for run, others in wanted.items()], reason


def _subject(store: Store | None, run: str, others: Iterable[str]) -> Subject:
    found = {each: store.find(each) if store else None for each in (run, *others)}
    variants = {
        name: variant for name, variant in found.items() if name != run and variant is not None
    }
    return Subject(
        run,
        found[run],
        variants,
        {name: edit_check_record(each) for name, each in found.items() if each and each.edits},
    )


def repeating(folder: Folder, subjects: list[Subject], store: Path | None) -> list[str]:
    """Return the commands that do it all again: of a study the one, otherwise those of its runs."""
    if folder.record.get("study"):
        elsewhere = "" if store is None or store == folder.path / "store" else f" --store {store}"
        return [f"actlas study run {folder.record['study']} --out {folder.path}{elsewhere}"]
    runs = [subject.run for subject in subjects if subject.run]
    place = store or Path("STORE")
    return [extract_command(run, _readable(run), place) for run in runs]


def day(time: str) -> str:
    """Return a time of a record as people write it."""
    return time.replace("T", " ").replace("+00:00", " UTC")


def _readable(run: Run) -> list[SitePart]:
    """Return what of a run is read, of the tokens that are kept."""
    found = []
    for site, numbers in sorted(run.index.readable_numbers.items()):
        found.append(SitePart(site, numbers, run.index.of((site,)).kept))
    return found

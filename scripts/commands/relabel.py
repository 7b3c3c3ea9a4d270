"""``actlas relabel``: other labels for a stored run, without its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actlas.scripts.terminal.completion import complete_run
from actlas.scripts.terminal.options import is_export, json_option, reading_options, store_option
from actlas.scripts.terminal.text import counted, echo_json, printable
from actlas.store.errors import InputError, StoreError, UsageError, quoted

if TYPE_CHECKING:
    from actlas.pipeline.inputs.sentences import Sentences
    from actlas.store.labels.columns import Columns
    from actlas.store.runs.run import Run


@click.command("relabel")
@click.argument("reference", metavar="RUN", shell_complete=complete_run)
@click.argument("file", metavar="FILE")
@store_option
@reading_options
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
@json_option
def command(
    reference: str, file: str, store_path: Path, dry_run: bool, as_json: bool, **reading: Any
) -> None:
    """Give RUN, its baseline and all variants the labels in FILE: the columns beside the sentences.

    FILE has the sentences that RUN was made from, in their order, as `actlas extract` reads them;
    with --skip-bad, lines that are no sentence of RUN are skipped.
    Nothing is computed, and no model is needed. Earlier labels stay in the store; results that were
    made with them are out of date.
    """
    from actlas.store.catalog import Store
    from actlas.store.labels.relabel import label_change, relabel

    if is_export(reference):
        raise UsageError(
            f"{reference} is an export, which does not change: relabel its run and "
            "export that again"
        )
    run = Store(store_path).run(reference)
    columns = _columns_for(run, file, reading)
    source = "stdin" if file == "-" else Path(file).stem
    change = label_change(run, columns) if dry_run else relabel(run, columns, source)
    if as_json:
        labels = change.to_json() if change else None
        version = change.version if change else run.labels_version
        echo_json(
            {"run": run.id, "version": version, "columns": sorted(columns), "changed": labels}
        )
    elif change:
        become = "would become" if dry_run else "are now"
        click.echo(
            f"labels of {run.name} {become} version {change.version}: {printable(change.summary)}"
        )
    else:
        click.echo(f"run {run.name} has these labels already: version {run.labels_version}")


@dataclass(frozen=True)
class _Lines:
    """The sentences of a file with the numbers of their lines."""

    source: str
    text: tuple[str, ...]
    line: tuple[int, ...]


def _columns_for(run: Run, file: str, reading: Mapping[str, Any]) -> Columns:
    """Return the columns of ``file``; raises InputError, naming the line, for other sentences."""
    from actlas.pipeline.inputs.sentences import read_sentences
    from actlas.store.labels.labels import text_digest

    sentences = read_sentences(file, **reading)
    for note in sentences.notes:
        click.echo(f"note: {printable(note)}", err=True)
    # the digest of all texts is in the run's record, so equal files need no look at the shards
    if text_digest(sentences.text) == run.description.get("texts"):
        return sentences.columns
    kept = _known(run, sentences) if reading["skip_bad"] else range(len(sentences.text))
    text = tuple(sentences.text[index] for index in kept)
    if text_digest(text) != run.description.get("texts"):
        raise _differing(run, _Lines(file, text, tuple(sentences.line[index] for index in kept)))
    return {name: column[list(kept)] for name, column in sentences.columns.items()}


def _known(run: Run, sentences: Sentences) -> list[int]:
    """Return the indices of the sentences that the run has.

    Equal texts were all kept or skipped.
    """
    # a text that occurs twice was kept twice, or skipped twice: order is compared afterwards
    stored = frozenset(run.labels.text)
    return [index for index, text in enumerate(sentences.text) if text in stored]


def _differing(run: Run, lines: _Lines) -> InputError:
    """Return the error that says where ``lines`` leave the sentences of ``run``."""
    file = "standard input" if lines.source == "-" else lines.source
    asked = f"expected the {counted(run.sentences, 'sentence')} of run {run.name} in their order"
    try:
        stored = run.labels.text
    except StoreError:  # a unit is not stored yet, so nothing says which line it is
        stored = ()
    for number, text, own in zip(lines.line, lines.text, stored, strict=False):
        if text != own:
            return InputError(
                f"{file}, line {number}: {asked}, here {quoted(own)}, got {quoted(text)}"
            )
    return InputError(
        f"{file}: {asked}, got {counted(len(lines.text), 'sentence')}{_hint(run, lines)}"
    )


def _hint(run: Run, lines: _Lines) -> str:
    if len(lines.text) > run.sentences and run.sentences:
        return f", from line {lines.line[run.sentences]} on too many"
    return " that are not all the same" if len(lines.text) == run.sentences else ""

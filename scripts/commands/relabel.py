"""``actlas relabel``: other labels for a stored run, without its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actlas.scripts.extraction.text_options import labels_option
from actlas.scripts.terminal.completion import complete_run
from actlas.scripts.terminal.options import is_export, json_option, reading_options, store_option
from actlas.scripts.terminal.sections import SectionedCommand
from actlas.scripts.terminal.text import counted, echo_json, printable
from actlas.store.errors import InputError, StoreError, UsageError, quoted

if TYPE_CHECKING:
    from actlas.pipeline.inputs.sentences import Sentences
    from actlas.store.labels.columns import Columns
    from actlas.store.labels.relabel import LabelChange
    from actlas.store.runs.run import Run


@click.command(
    "relabel",
    cls=SectionedCommand,
    examples=[
        "actlas relabel mine-gpt2 mine.csv --store atlas --dry-run",
        "actlas relabel mine-gpt2 mine.csv --store atlas",
    ],
)
@click.argument("reference", metavar="RUN", shell_complete=complete_run)
@click.argument("file", metavar="[FILE]", required=False)
@labels_option
@store_option
@reading_options
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
@json_option
def command(
    reference: str,
    file: str | None,
    labels: str | None,
    store_path: Path,
    dry_run: bool,
    as_json: bool,
    **reading: Any,
) -> None:
    """Give RUN, its baseline and all variants other labels: the columns beside the sentences.

    FILE has the sentences that RUN was made from, in their order, as `actlas extract` reads them;
    with --skip-bad, lines that are no sentence of RUN are skipped. --labels gives labels of tokens.
    What is not given stays as it is.
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
    if file is None and labels is None:
        raise UsageError("give FILE, the sentences with their labels, or --labels, or both")
    run = Store(store_path).run(reference)
    columns = None if file is None else _columns_for(run, file, reading)
    of_tokens = None if labels is None else _token_columns_for(run, columns, labels)
    given = str(file or labels)
    source = "stdin" if given == "-" else Path(given).stem
    if dry_run:
        change = label_change(run, columns, of_tokens)
    else:
        change = relabel(run, columns, source, of_tokens)
    _report(run, change, (columns, of_tokens), dry_run=dry_run, as_json=as_json)


def _report(
    run: Run,
    change: LabelChange | None,
    given: tuple[Columns | None, Columns | None],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Print what changed; given: labels of sentences and of tokens, None where they stay."""
    if as_json:
        columns = run.columns if given[0] is None else given[0]
        of_tokens = run.token_columns if given[1] is None else given[1]
        record = {
            "run": run.id,
            "version": change.version if change else run.labels_version,
            "columns": sorted(columns),
            "token_columns": sorted(of_tokens),
            "changed": change.to_json() if change else None,
        }
        echo_json(record)
    elif change:
        become = "would become" if dry_run else "are now"
        click.echo(
            f"labels of {run.name} {become} version {change.version}: {printable(change.summary)}"
        )
    else:
        click.echo(f"run {run.name} has these labels already: version {run.labels_version}")


def _token_columns_for(run: Run, columns: Columns | None, file: str) -> Columns:
    """Return the labels of tokens of ``file``; columns: those the run is to have."""
    from actlas.pipeline.token_labels.join import token_labels
    from actlas.pipeline.token_labels.spans import read_spans

    spans = read_spans(file)
    labels = run.labels if columns is None else replace(run.labels, columns=columns)
    found = token_labels(labels, spans, windowed="windows" in run.description)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    return found.columns


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
    if "windows" in run.description:
        return _columns_of_windows(run, file, sentences)
    # the digest of all texts is in the run's record, so equal files need no look at the shards
    if text_digest(sentences.text) == run.description.get("texts"):
        return sentences.columns
    kept = _known(run, sentences) if reading["skip_bad"] else range(len(sentences.text))
    text = tuple(sentences.text[index] for index in kept)
    if text_digest(text) != run.description.get("texts"):
        raise _differing(run, _Lines(file, text, tuple(sentences.line[index] for index in kept)))
    return {name: column[list(kept)] for name, column in sentences.columns.items()}


def _columns_of_windows(run: Run, file: str, sentences: Sentences) -> Columns:
    """Return the columns of the texts of ``file`` as those of the windows of ``run``."""
    from actlas.pipeline.inputs import windows

    own = {name: windows.window_column(run.columns, name) for name in windows.COLUMNS}
    index, begins = own[windows.TEXT_INDEX], own[windows.WINDOW_CHAR]
    texts = sentences.text
    count = int(index.max()) + 1
    asked = f"expected the {counted(count, 'text')} that the windows of run {run.name} are of"
    if len(texts) != count:
        raise InputError(f"{file}: {asked}, got {len(texts):,}")
    pieces = zip(run.labels.text, index.tolist(), begins.tolist(), strict=True)
    for piece, text, begin in pieces:
        if texts[text][begin : begin + len(piece)] != piece:
            got = quoted(texts[text][begin : begin + len(piece)])
            raise InputError(
                f"{sentences.place(sentences.line[text])}: {asked}, here {quoted(piece)} from "
                f"character {begin} on, got {got}"
            )
    return windows.with_windows(sentences.columns, own)


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

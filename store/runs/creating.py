"""A new run: its folder with labels and record, made so that no reader sees half of it."""

from __future__ import annotations

from pathlib import Path

from actlas.store.format.run_record import FILE, RunRecord, run_record_bytes
from actlas.store.io.durable import make_folder, publish_bytes
from actlas.store.io.safe_open import uncollected
from actlas.store.io.workspace import workspace
from actlas.store.labels.columns import NONE, SENTENCE, TOKEN, Columns

PARTS = ("commits", "shards")  # folders of a run, beside that of writers


@uncollected()
def create_run(
    folder: Path, record: RunRecord, columns: Columns | None, token_columns: Columns = NONE
) -> bool:
    """Make the run of ``record`` in ``folder`` unless it is there; return whether it is new.

    columns, token_columns: its first labels; no ``columns`` for a variant, which has those of its
    baseline.
    """
    new = False
    if not (folder / FILE).exists():
        content = run_record_bytes(record)
        # a workspace before all else: gc removes a folder without run.json and without an owner
        with workspace(folder) as work:
            for part in PARTS:
                make_folder(folder / part)
            if columns is not None:  # before run.json: no run is without labels
                from actlas.store.labels.relabel import publish_labels

                sentences = sum(unit.sentences for unit in record.units)
                counts = {SENTENCE: sentences, TOKEN: sum(unit.tokens for unit in record.units)}
                source = str(record.description.get("source", ""))
                publish_labels(folder, counts, columns, token_columns, source=source, work=work)
            # the run is there from this line on: ids and names lead to folders that have a run.json
            new = publish_bytes(content, folder / FILE, temporary=work.folder)
    for part in PARTS:  # some copies leave empty folders out
        make_folder(folder / part)
    return new

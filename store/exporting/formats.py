"""The formats of copies by name, and the copy itself; what a format needs is imported with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actlas.store.errors import UsageError

if TYPE_CHECKING:
    from actlas.store.exporting.content import Content
    from actlas.store.runs.run import Run
    from actlas.store.writing.selection import Selection

COPIES = ("safetensors", "hf", "saelens", "parquet", "zarr")


@dataclass(frozen=True)
class Contexts:
    """Rows of consecutive tokens, as SAELens wants them."""

    size: int  # tokens of a row
    hook: str  # name of the column in the copy
    column: str | None = None  # the one that is copied, where the selection has others beside it


@dataclass(frozen=True)
class Copied:
    """What was written: where, of which columns, and how many tokens."""

    out: Path
    content: Content
    left_out: int  # tokens behind the last whole row of their sentence, with ``Contexts``

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.out.rglob("*") if path.is_file())


def copy(
    run: Run,
    out: Path,
    kind: str,
    selection: Selection,
    progress: Callable[[int, int], None] = lambda *_: None,
    contexts: Contexts | None = None,
) -> Copied:
    """Write ``selection`` of ``run`` to the new folder ``out``, in the format ``kind``.

    Raises UsageError for a site, layer or library that is not there, StoreError where ``out`` is
    there already or the disk is full, DamagedStore where the run is altered. Then nothing is left.
    """
    from actlas.store.exporting.content import Content
    from actlas.store.exporting.folder import new_folder
    from actlas.store.writing.selection import plan_export

    content = Content(plan_export(run, selection), progress)
    left_out = 0
    with new_folder(out) as folder:
        if contexts is not None:
            from actlas.store.exporting.huggingface import write_contexts

            left_out = write_contexts(
                content, folder, contexts.hook, contexts.size, contexts.column
            )
        else:
            _writer(kind)(content, folder)
    return Copied(out, content, left_out)


def _writer(kind: str) -> Callable[[Content, Path], None]:
    if kind == "safetensors":
        from actlas.store.exporting import safetensors

        return safetensors.write
    if kind == "hf":
        from actlas.store.exporting import huggingface

        return huggingface.write_rows
    if kind == "parquet":
        from actlas.store.exporting import parquet

        return parquet.write
    if kind == "zarr":
        from actlas.store.exporting import zarr

        return zarr.write
    raise UsageError(f"unknown format {kind!r}: expected {', '.join(COPIES)}")

"""Copies of a run in the formats of other libraries: asked for, made, and told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from actlas.scripts.terminal.text import counted, echo_json, size
from actlas.store.exporting.formats import Contexts

if TYPE_CHECKING:
    from actlas.store.exporting.formats import Copied
    from actlas.store.runs.run import Run
    from actlas.store.writing.selection import Selection


@dataclass(frozen=True)
class Copy:
    """A copy that was made."""

    kind: str
    made: Copied

    def echo(self, as_json: bool, what: str) -> None:
        """Print what was written and, where rows have several tokens, what was left out."""
        made, content = self.made, self.made.content
        names = [column.name for column in content.columns]
        if as_json:
            echo_json(
                {
                    "run": content.plan.run.id,
                    "folder": str(made.out),
                    "format": self.kind,
                    "bytes": made.nbytes,
                    "tokens": content.tokens - made.left_out,
                    "left_out": made.left_out,
                    "columns": names,
                }
            )
            return
        click.echo(f"{made.out}: {size(made.nbytes)} of {what}, as {self.kind}")
        left = f", {counted(made.left_out, 'token')} left out" if made.left_out else ""
        shown = " ".join(names[:8]) + (" …" if len(names) > 8 else "")
        click.echo(f"{counted(content.tokens - made.left_out, 'token')}{left}, columns {shown}")


def copied(
    run: Run,
    out: Path,
    kind: str,
    selection: Selection,
    progress: Callable[[int, int], None],
    context_size: int | None,
) -> Copy:
    """Make the copy; raises as ``store.exporting.formats.copy`` does."""
    from actlas.store.exporting.formats import copy

    contexts = None
    if context_size is not None:
        contexts = _contexts(run, selection, context_size)
    return Copy(kind, copy(run, out, kind, selection, progress, contexts))


def _contexts(run: Run, selection: Selection, context_size: int) -> Contexts:
    """Return the rows that SAELens wants, the column by TransformerLens' name of the site.

    Of ``resid`` that is what leaves the layer, hook_resid_post.
    """
    from actlas.pipeline.models.hook_names import hook_name

    sites, layers = selection.sites or run.sites, selection.layers
    if len(sites) != 1 or (layers is not None and len(layers) != 1):
        raise click.UsageError(
            "--format saelens takes one site at one layer: give --site and --layers"
        )
    layer = None if layers is None else layers[0]
    column = f"resid.{layer + 1}" if sites[0] == "resid" and layer is not None else None
    return Contexts(context_size, hook_name(sites[0], layer), column)

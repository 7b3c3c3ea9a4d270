"""``actlas table``: a run as a table of tokens or words."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from actlas.scripts.terminal.options import run_argument
from actlas.scripts.terminal.paths import UserPath
from actlas.scripts.terminal.sections import SectionedCommand
from actlas.scripts.terminal.text import counted
from actlas.store.errors import StoreError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from actlas.store.runs.run import Run

SUFFIXES = (".csv", ".parquet")
ROWS = 1 << 14  # that become text at a time


@click.command(
    "table",
    cls=SectionedCommand,
    examples=[
        "actlas table her-demo --store actlas-demo/store --per word --out words.csv",
    ],
)
@run_argument
@click.option(
    "--per",
    type=click.Choice(("token", "word")),
    default="token",
    show_default=True,
    help="What a row is.",
)
@click.option("--norms", is_flag=True, help="Add the norm of the residual stream at each depth.")
@click.option(
    "--out",
    type=UserPath(dir_okay=False),
    default="-",
    show_default=True,
    help="A new .csv or .parquet file; - prints CSV.",
)
def command(run: Run, per: str, norms: bool, out: Path) -> None:
    """Write a table of the tokens or words of RUN.

    It has text, labels and the loss of each token (nll, in nats; NaN for a first token); of a word
    the sum over its tokens, its surprisal. Words are those that --target finds.
    """
    from actlas.analysis.data.table import NLL, RESID, token_table, word_table

    printed = str(out) == "-"
    if not printed:
        _check_place(out)
    sites = [site for site in (NLL, *([RESID] if norms else [])) if site in run.sites]
    if NLL not in sites:
        click.echo(
            f"run {run.name} has no nll, so the table has no losses (a masked model has none; of "
            "others `actlas extract … --site nll` adds it)",
            err=True,
        )
    dataset = run.dataset(sites)
    frame = (token_table if per == "token" else word_table)(dataset, norms=norms)
    if printed:
        for piece in _csv(frame):
            click.echo(piece, nl=False)
        return
    _write(frame, out)
    click.echo(f"{out}: {counted(len(frame), per)}, columns {' '.join(map(str, frame.columns))}")


def _check_place(out: Path) -> None:
    if out.suffix not in SUFFIXES:
        raise UsageError(f"{out} does not end in {' or '.join(SUFFIXES)}: a table is one of these")
    if not out.parent.is_dir():
        raise UsageError(f"{out.parent} is not a directory: give --out in one that is there")
    if os.path.lexists(out):
        raise StoreError(f"{out} is there already: remove it, or give another --out")
    if out.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise UsageError('a .parquet file needs pyarrow: pip install "actlas[out]"') from error


def _write(frame: pd.DataFrame, out: Path) -> None:
    from actlas.store.io.replacing import replacing

    with replacing(out.absolute().parent) as files:
        if out.suffix == ".csv":
            files.add(out.name, (piece.encode() for piece in _csv(frame)))
            return
        whole = io.BytesIO()
        frame.to_parquet(whole, index=False)
        files.add(out.name, [whole.getbuffer()])


def _csv(frame: pd.DataFrame) -> Iterator[str]:
    """Yield the table as text, ROWS at a time; it has a header even without rows."""
    for first in range(0, max(len(frame), 1), ROWS):
        rows = frame.iloc[first : first + ROWS]
        yield rows.to_csv(index=False, header=first == 0, na_rep="NaN", lineterminator="\n")

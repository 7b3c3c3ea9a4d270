"""``actlas report``: results as one page."""

from __future__ import annotations

import os
from pathlib import Path

import click

from actlas.scripts.terminal.paths import UserPath
from actlas.scripts.terminal.sections import SectionedCommand


@click.command("report", cls=SectionedCommand, examples=["actlas report actlas-demo"])
@click.argument("folder", metavar="DIR", type=UserPath())
@click.option(
    "--store",
    "store_path",
    type=UserPath(),
    help="Folder of the store that holds the runs.  [default: that of the study, or ACTLAS_STORE]",
)
def command(folder: Path, store_path: Path | None) -> None:
    """Write the results in DIR as one page, DIR/report.html.

    The page needs no network and no other file.

    DIR is the folder of a study, or one that commands wrote results to. From the store come the
    sentences, the check of the edits, and what the runs are.
    """
    from actlas.scripts.reporting.page import write_report

    click.echo(f"report  {write_report(folder, store_path, os.environ.get('ACTLAS_STORE'))}")

"""``actlas report``: results as one page, or several folders of results side by side."""

from __future__ import annotations

import os
from pathlib import Path

import click

from actlas.scripts.terminal.paths import UserPath
from actlas.scripts.terminal.sections import SectionedCommand


@click.command(
    "report",
    cls=SectionedCommand,
    examples=[
        "actlas report actlas-demo",
        "actlas report actlas-demo/results/scale-2 actlas-demo/results/replace --out both.html",
    ],
)
@click.argument("folders", metavar="DIR...", type=UserPath(), nargs=-1, required=True)
@click.option(
    "--out",
    type=UserPath(),
    metavar="FILE",
    help="Write the page to this file, such as compared.html.  [default: DIR/report.html]",
)
@click.option(
    "--store",
    "store_path",
    type=UserPath(),
    help="Folder of the store that holds the runs.  [default: that of the study, or ACTLAS_STORE]",
)
def command(folders: tuple[Path, ...], out: Path | None, store_path: Path | None) -> None:
    """Write the results in DIR as one page; of several, compare them on one page, --out FILE.

    The page begins with what was found. It needs no network and no other file.

    DIR is the folder of a study, one that commands wrote results to, or one result (.nc). Several
    are compared study by study: findings and figures side by side, and by how much numbers differ.
    From the store come the sentences, the check of the edits, and what the runs are.
    """
    from actlas.scripts.reporting.comparison import write_comparison
    from actlas.scripts.reporting.page import write_report

    _check(folders, out)
    if store_path is not None:
        from actlas.store.catalog import Store

        Store(store_path)  # raises UsageError where there is none
    otherwise = os.environ.get("ACTLAS_STORE")
    if len(folders) == 1:
        page = write_report(folders[0], store_path, otherwise, out)
    else:
        page = write_comparison(folders, out or Path(), store_path, otherwise)
    click.echo(f"report  {page}")


def _check(folders: tuple[Path, ...], out: Path | None) -> None:
    """Raise UsageError for an ``--out`` that cannot be the page."""
    from actlas.store.errors import UsageError

    if out is None:
        if len(folders) > 1:
            raise UsageError(
                f"{len(folders)} folders are compared on a page of their own: give --out FILE, "
                "such as compared.html"
            )
        return
    if out.is_dir():
        raise UsageError(f"--out {out} is a directory: expected a file that ends in .html")
    if out.suffix != ".html":
        raise UsageError(f"--out {out}: expected a file that ends in .html")
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: {out.parent} is not a directory")

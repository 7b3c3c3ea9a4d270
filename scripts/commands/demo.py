"""``actlas demo``: the five studies on the shipped model, as a study file that is shipped too."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from actlas.scripts.commands.study import carry_out
from actlas.scripts.study.file import read_study
from actlas.scripts.study.ownership import STUDIES
from actlas.scripts.study.update import REPORT, StudyPaths
from actlas.scripts.terminal.paths import UserPath

STUDY = STUDIES / "demo.toml"


@click.command("demo")
@click.argument("out", type=UserPath(file_okay=False), default=Path("actlas-demo"))
@click.option("--quiet", is_flag=True, help="No progress bar.")
def command(out: Path, quiet: bool) -> None:
    """Run all five studies with the shipped model on shipped sentences, and write a report.

    All files go to the folder OUT, actlas-demo by default. A second call answers from there and
    computes nothing.
    """
    store = out / "store"
    place = StudyPaths(out, store)
    holds = carry_out(read_study(STUDY), place, quiet=quiet)
    click.echo(
        "\nWhere to look next\n"
        f"  actlas ls --store {store}\n"
        f"  actlas cosine her-demo --store {store} --target her --control matched\n"
        "  actlas study new mine.toml                  a study of your own, in one file\n"
        f"  actlas extract YOUR.txt --model gpt2 --store {store}\n"
        "  from actlas.store import Store              in Python\n"
        f'  Store("{store}").run("her-demo").dataset()\n'
        f"  the study file: {STUDY}\n\n"
        f"All five studies are in the report:\n{place.out / REPORT}"
    )
    sys.exit(0 if holds else 1)

"""``actlas demo``: the five studies on the shipped model, as a study file that is shipped too."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from actlas.scripts.commands.study import carry_out, jobs_option, quiet_option
from actlas.scripts.terminal.paths import UserPath
from actlas.scripts.terminal.sections import SectionedCommand


@click.command("demo", cls=SectionedCommand, examples=["actlas demo"])
@click.argument("out", type=UserPath(file_okay=False), default=Path("actlas-demo"))
@jobs_option
@quiet_option
def command(out: Path, jobs: int | None, quiet: bool) -> None:
    """Run all five studies with the shipped model on shipped sentences, and write a report.

    All files go to the folder OUT, actlas-demo by default. A second call answers from there and
    computes nothing.
    """
    from actlas.scripts.study.analysing import REPORT, StudyPaths
    from actlas.scripts.study.file import read_study
    from actlas.scripts.study.ownership import STUDIES

    study, store = STUDIES / "demo.toml", out / "store"
    place = StudyPaths(out, store)
    holds = carry_out(read_study(study), place, quiet=quiet, jobs=jobs)
    click.echo(
        "\nWhere to look next\n"
        f"  actlas ls --store {store}\n"
        f"  actlas cosine her-demo --store {store} --target her --control matched\n"
        "  actlas study new mine.toml                  a study of your own, in one file\n"
        f"  actlas extract YOUR.txt --model gpt2 --store {store}\n"
        "  from actlas.store import Store              in Python\n"
        f'  Store("{store}").run("her-demo").dataset()\n'
        f"  the study file: {study}\n\n"
        f"All five studies are in the report:\n{place.out / REPORT}"
    )
    sys.exit(0 if holds else 1)

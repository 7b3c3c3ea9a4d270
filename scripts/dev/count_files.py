"""Which of our files a sentence passes on its way from ``actlas extract`` to a figure.

    python scripts/dev/count_files.py

Runs ``extract`` of one batch and ``variance`` on the demo model in this process, and lists the
files in which a function ran: what is imported and never called does not
count.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pkgutil
import sys
import tempfile
import threading
from collections.abc import Callable
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import FrameType

import click

import actlas
from actlas.pipeline.models.folder import DEMO_FOLDER
from actlas.scripts.cli import main as command

ROOT = Path(actlas.__file__).resolve().parents[1]
FOLDERS = ("actlas", "analysis", "pipeline", "scripts", "store")
SENTENCES = "She gave her a cup of tea.\nThe cup on the table was hers.\nI saw her at the door.\n"
NOT_RUN = ("actlas.scripts.bench", "actlas.scripts.dev", "actlas.scripts.__main__")
#: code that runs at import or is made by dataclasses is on nobody's way; nor are bodies of classes,
#: whose frames lack CO_OPTIMIZED
NOT_CALLED = {"<module>", "<lambda>"}


def load_all() -> None:
    """Import everything of ours that users run, so that imports are not taken for calls."""
    for top in FOLDERS[1:]:
        package = importlib.import_module(f"actlas.{top}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith(NOT_RUN):
                importlib.import_module(module.name)


def files_on_the_way(work: Callable[[], object]) -> set[Path]:
    """Return our files, below ROOT, in which a function ran while ``work`` did, in any thread."""
    seen: set[str] = set()

    def watch(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_flags & CO_OPTIMIZED and code.co_name not in NOT_CALLED:
            seen.add(code.co_filename)

    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    paths = {Path(name).resolve() for name in seen}
    below = {path.relative_to(ROOT) for path in paths if path.is_relative_to(ROOT)}
    return {path for path in below if path.parts[0] in FOLDERS and path.parts[1] != "dev"}


def study(folder: Path) -> None:
    """Extract one batch and draw the figure of ``variance`` in ``folder``."""
    (folder / "her.txt").write_text(SENTENCES)
    store = ["--store", str(folder / "store")]
    extraction = ["extract", str(folder / "her.txt"), "--model", str(DEMO_FOLDER), "--name", "her"]
    for words in (
        [*extraction, *store, "--quiet"],
        ["variance", "her", "--target", "her", *store, "--out", str(folder / "results")],
    ):
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
            command(words, prog_name="actlas")


@click.command()
def main() -> None:
    """List the files that run from a sentence to a figure, and their number."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.TemporaryDirectory(prefix="actlas-files-") as scratch:
        load_all()
        files = files_on_the_way(lambda: study(Path(scratch)))
        drawn = list(Path(scratch).glob("results/**/*.svg"))
    if not drawn:
        raise click.ClickException("no figure was drawn: run the two commands by hand")
    for path in sorted(files):
        click.echo(path)
    click.echo(f"{len(files)} files")


if __name__ == "__main__":
    main()

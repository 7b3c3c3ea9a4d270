"""``actlas export``: a run, or part of one, as one file or folder to carry along."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actlas.analysis.declaring.layers import parse_layers
from actlas.scripts.analyses.bounds import number
from actlas.scripts.terminal.completion import complete_site
from actlas.scripts.terminal.options import json_option, named_sites, run_argument
from actlas.scripts.terminal.paths import UserPath
from actlas.scripts.terminal.sections import SectionedCommand
from actlas.scripts.terminal.text import echo_json, extent, printable, size
from actlas.store.exporting.formats import COPIES
from actlas.store.format.schema import NUMPY_VIEW

if TYPE_CHECKING:
    import xarray as xr

    from actlas.store.runs.exported import Exported
    from actlas.store.runs.run import Run
    from actlas.store.writing.selection import Selection


WHAT = "What is exported"


@click.command(
    "export",
    cls=SectionedCommand,
    examples=[
        "actlas export her-demo her.h5 --store actlas-demo/store --target her --context 1",
        "actlas export her-demo her-zarr --store actlas-demo/store --site resid --format zarr",
    ],
    headings=dict.fromkeys(("sites", "layers", "word", "case", "context", "dtype"), WHAT),
)
@run_argument
@click.argument("out", metavar="OUT", type=UserPath())
@click.option(
    "--format",
    "kind",
    type=click.Choice(("netcdf", *COPIES)),
    default="netcdf",
    show_default=True,
    help="netcdf: one file that every analysis takes; others: a folder for other libraries.",
)
@click.option(
    "--context-size",
    type=number("context_size"),
    help="Consecutive tokens in a row, with --format saelens.",
)
@click.option(
    "--site",
    "sites",
    multiple=True,
    metavar="SITE",
    shell_complete=complete_site,
    callback=named_sites,
    help="What to export; may be repeated.  [default: all]",
)
@click.option(
    "--layers",
    metavar="LIST",
    help="Layers of the model, such as 0,12,47 or 0-5; of resid their input and output.",
)
@click.option(
    "--target",
    "word",
    metavar="WORD",
    help="Only sentences with this word, as a whole word: `can` is not in `can't`.",
)
@click.option("--case", is_flag=True, help="Let upper and lower case of the word differ.")
@click.option(
    "--context", type=number("context"), help="Only tokens that many or fewer away from the word."
)
@click.option(
    "--dtype",
    type=click.Choice(tuple(NUMPY_VIEW)),
    help="Precision in the file.  [default: as stored]",
)
@click.option(
    "--readout",
    is_flag=True,
    help="Copy the model's readouts beside it, which `lens` and `attribute` read; netcdf alone.",
)
@json_option
def command(
    run: Run,
    out: Path,
    kind: str,
    context_size: int | None,
    readout: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Write RUN, or part of it, to OUT.

    OUT.h5 is one netCDF-4 file that every analysis takes in place of a run; in other formats OUT is
    a new folder.

    The data are checked as they are read. Layers, positions and the run's id stay as they are, so
    results are those of the run. A file of that name is kept if it is this export already, and
    never overwritten.
    """
    if (kind == "saelens") != (context_size is not None):
        raise click.UsageError("--format saelens and --context-size N go together: give both")
    if readout:
        _check_readout(run, kind)
    selection, summary = _selection(run, **chosen)
    from actlas.scripts.terminal.progress import Bar

    with Bar(unit="B", unit_scale=True, desc=out.name, disable=True if as_json else None) as bar:

        def progress(nbytes: int, total: int) -> None:
            bar.total = total
            bar.update(nbytes)

        if kind != "netcdf":
            from actlas.scripts.exporting.copies import copied

            copy = copied(run, out, kind, selection, progress, context_size)
        else:
            from actlas.store.writing.export import export

            exported, new = export(run, out, selection, progress)
    carried = _carried(run, out) if readout else []
    if kind != "netcdf":
        copy.echo(as_json, f"run {run.name}, {summary}")
        return
    if as_json:
        echo_json({**_record(exported, new), "readouts": list(map(str, carried))})
        return
    state = "" if new else ", which was there already"
    click.echo(f"{out}: {size(out.stat().st_size)} of run {run.name}, {summary}{state}")
    click.echo(f"{extent(exported)}, sites {' '.join(exported.sites)}")
    for path in carried:
        click.echo(f"readout {path}: {size(path.stat().st_size)}")


def _check_readout(run: Run, kind: str) -> None:
    """Raise UsageError for another format, and for a run whose model has no readout."""
    from actlas.scripts.analyses.asked import readouts_of

    if kind != "netcdf":
        raise click.UsageError("--readout goes with --format netcdf: no other is read by a study")
    readouts_of(run).output()


def _carried(run: Run, out: Path) -> list[Path]:
    """Copy the readouts of the run's model beside ``out``; return the copies."""
    from actlas.scripts.analyses.asked import readouts_of
    from actlas.store.readouts.writing import carry_readouts

    return carry_readouts(readouts_of(run).store, run.specification["model"], out.parent)


def _selection(
    run: Run,
    sites: tuple[str, ...],
    layers: str | None,
    word: str | None,
    case: bool,
    context: int | None,
    dtype: Any,
) -> tuple[Selection, str]:
    """Return what is to be exported, and a few words on it."""
    from actlas.analysis.data.context import context_window
    from actlas.analysis.data.tokens import Target
    from actlas.store.writing.selection import Selection, layers_of

    if word is None and (case or context is not None):
        raise click.UsageError("--context and --case speak of a word: give --target WORD too")
    dataset = run.dataset(sites or None)
    held = layers_of(dataset)
    # layers by number; of `resid` the depths before and behind each come along
    numbers = tuple(parse_layers(layers, held)) if layers is not None else None
    tokens = context_window(dataset, Target(word, case=case), context) if word is not None else None
    note = {"target": word, "case": case, "context": context}
    parts = [
        f"layers {layers}" if layers is not None else "all layers",
        _tokens_text(dataset)
        if word is None
        else f"{word!r} in its sentence"
        if context is None
        else f"{word!r} and {context} around",
    ]
    return Selection(
        sites or None, numbers, tokens, dtype, note if word is not None else {}
    ), ", ".join(parts)


def _tokens_text(dataset: xr.Dataset) -> str:
    """Say which tokens a view has."""
    kept = dataset.attrs.get("tokens")
    return f"tokens {printable(str(kept))}" if kept else "all tokens"


def _record(exported: Exported, new: bool) -> dict[str, Any]:
    return {
        "run": exported.id,
        "file": str(exported.file),
        "new": new,
        "bytes": exported.file.stat().st_size,
        "sentences": exported.sentences,
        "tokens": exported.tokens,
        **exported.selection,
    }

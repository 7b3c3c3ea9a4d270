"""``actlas show``: one run in full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from actlas.scripts.extraction.edit_check import edit_check_lines, edit_check_record
from actlas.scripts.extraction.kept import kept_parts
from actlas.scripts.terminal.options import json_option, run_argument
from actlas.scripts.terminal.sections import SectionedCommand
from actlas.scripts.terminal.text import (
    counted,
    echo_json,
    heads_text,
    printable,
    size,
    special_text,
    table,
)
from actlas.store.errors import DamagedStore
from actlas.store.format.parts import WHOLE, ranges
from actlas.store.format.schema import BLOCK_DIMS, SiteLayout

if TYPE_CHECKING:
    from actlas.store.runs.run import Run


@click.command(
    "show",
    cls=SectionedCommand,
    examples=[
        "actlas show her-demo --store actlas-demo/store",
    ],
)
@run_argument
@json_option
def command(run: Run, as_json: bool) -> None:
    """Show what RUN is, what it holds and what it lacks."""
    held = sorted(run.index.known)
    missing = run.missing(held)
    if as_json:
        echo_json(_record(run))
        return
    try:
        _describe(run)
    except (KeyError, TypeError) as error:
        raise DamagedStore(
            f"{run.folder / 'run.json'} does not describe its run ({error}): restore it from a copy"
        ) from error
    for line in edit_check_lines(run):
        click.echo(line)
    for line in _kept_lines(run):
        click.echo(printable(line))
    files = counted(len({commit.file for commit in run.commits}), "file")
    click.echo(f"units      {len(run.units):,}, {size(run.nbytes)} in {files}\n")
    click.echo(table(("site", "dims", "units", "size"), [site_row(run, site) for site in held]))
    if missing or not held:
        units = counted(len(missing) or len(run.units), "unit")
        click.echo(
            f"\nincomplete: {units} without all sites; the same `actlas extract` finishes it"
        )


def _record(run: Run) -> dict[str, object]:
    """Return the JSON of ``--json``."""
    held = sorted(run.index.known)
    missing = [{"unit": unit.number, "sites": sites} for unit, sites in run.missing(held)]
    labels = {
        "version": run.labels_version,
        "digest": run.labels_digest,
        "columns": list(run.columns),
        "token_columns": list(run.token_columns),
    }
    return {
        "id": run.id,
        "names": run.names,
        "specification": run.specification,
        "description": run.description,
        "sites": run.sites,
        "numbers": run.index.readable_numbers,
        "kept": {site: run.index.of((site,)).kept_text for site in run.sites},
        "units": len(run.units),
        "missing": missing,
        "bytes": run.nbytes,
        "labels": labels,
        **edit_check_record(run),
    }


def _describe(run: Run) -> None:
    model, numerics = run.description["model"], run.specification["numerics"]
    click.echo(f"run        {run.id}  {' '.join(run.names)}")
    click.echo(
        printable(
            f"model      {model['name']}: {model['layer']} layers, {heads_text(model)}, "
            f"d_model {model['d_model']}"
        )
    )
    tokens = counted(run.tokens, "token")
    click.echo(f"weights    {run.specification['model']['weights']}")
    click.echo(
        printable(
            f"sentences  {run.sentences:,} of {run.description['source']}, "
            f"{tokens}{special_text(run.description)}"
        )
    )
    click.echo(printable(f"labels     {_labels(run)}"))
    _describe_generated(run)
    click.echo(
        f"numerics   computed in {numerics['dtype']}, stored in {numerics['stored_dtype']}, "
        f"{numerics['attention']} attention"
        + (f", dropout on, seed {numerics['seed']}" if numerics["mode"] == "train" else "")
    )
    click.echo(
        printable(
            f"made       {run.description['created']} with actlas "
            f"{run.description['actlas']}{_devices(run)}"
        )
    )


def _describe_generated(run: Run) -> None:
    from actlas.store.labels.generated import generated_of

    written = generated_of(run.description)
    if written is None:
        return
    settings = written.settings
    temperature, seed = settings.get("temperature"), settings.get("seed")
    drawn = f"drawn at temperature {temperature}, seed {seed}"
    click.echo(
        printable(
            f"generated  up to {settings.get('tokens')} tokens behind each prompt, "
            f"{'the likeliest' if temperature is None else drawn}"
        )
    )


def _kept_lines(run: Run) -> Iterator[str]:
    """Say which tokens are kept, where some files do not have all, and what they take."""
    for digest, kept in run.index.selections.known.items():
        here = [
            each for each in run.commits if each.record.kept and each.record.kept.digest == digest
        ]
        masks = run.index.selections.masks(digest)
        tokens, rows = (
            sum(map(len, masks.values())),
            sum(int(mask.sum()) for mask in masks.values()),
        )
        of_all = taken = 0
        for each in here:
            layouts = [site.layout for site in each.sites.values()]
            taken += sum(layout.nbytes for layout in layouts)
            of_all += sum(layout.narrow(each.unit.tokens).nbytes for layout in layouts)
        less = f"{size(taken)} in place of {size(of_all)}"
        yield f"tokens     {kept.text}: {rows:,} of {counted(tokens, 'token')} kept, {less}"


def _labels(run: Run) -> str:
    try:
        of_tokens = f", of tokens {' '.join(run.token_columns)}" if run.token_columns else ""
        return f"version {run.labels_version}: {' '.join(run.columns) or 'no columns'}{of_tokens}"
    except DamagedStore as error:
        return str(error)


def _devices(run: Run) -> str:
    devices = sorted({commit.provenance.get("device", "?") for commit in run.commits})
    return f" on {', '.join(devices)}" if devices else ""


def site_row(run: Run, site: str) -> tuple[str, str, str, str]:
    """Return name, dims, units and bytes of a site."""
    layouts = [commit.sites[site].layout for commit in run.commits if site in commit.sites]
    units = f"{sum(site in run.held(unit.number) for unit in run.units)}/{len(run.units)}"
    if not layouts:
        return site, "all of it is the baseline's", units, size(0)
    sizes = " ".join(
        f"{dim}," if dim == "token" else f"{dim} {count}," for dim, count in _sizes(layouts)
    )
    kept = _kept_text(run, site)
    if kept:
        sizes = sizes.replace("token,", f"token ({printable(kept)}),")
    part = kept_parts(run, {site: run.index.known[site]}).get(site)
    if part:
        sizes = f"{part}, {sizes.partition(', ')[2]}"
    return site, sizes.rstrip(","), units, size(sum(layout.nbytes for layout in layouts))


def _kept_text(run: Run, site: str) -> str:
    """Return how the tokens of a site were asked for, empty where they are all."""
    index = run.index.of((site,))
    if site in index.numbers:
        return "" if index.kept == WHOLE else index.kept_text
    # no selection is complete yet
    here = (record.kept for record in run.records if site in record.sites)
    texts = {kept.text if kept else "" for kept in here}
    return texts.pop() if len(texts) == 1 else ""


def _sizes(layouts: Sequence[SiteLayout]) -> Iterator[tuple[str, str]]:
    """Yield dims with their sizes.

    A variant has only layers or depths of its own; the others are the baseline's.
    """
    own = sorted({number for layout in layouts for number in layout.numbers})
    for dim, count in zip(layouts[0].dims, layouts[0].shape, strict=True):
        if dim in BLOCK_DIMS:
            yield dim, str(len(own)) if own == list(range(len(own))) else ranges(own)
        else:
            yield dim, str(count)

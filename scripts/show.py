"""``actlas show``: one run in full."""

from __future__ import annotations

import click

from actlas.scripts.options import json_option, run_argument
from actlas.scripts.terminal import echo_json, printable, size, table
from actlas.store.errors import DamagedStore
from actlas.store.run import Run


@click.command("show")
@run_argument
@json_option
def command(run: Run, as_json: bool) -> None:
    """Show what RUN is, what it holds and what it lacks."""
    held = sorted({site for commit in run.commits for site in commit.sites})
    lacking = run.missing(held)
    if as_json:
        record = {"id": run.id, "names": run.names, "specification": run.specification, "description": run.description}
        missing = [{"unit": unit.number, "sites": sites} for unit, sites in lacking]
        echo_json({**record, "sites": run.sites, "units": len(run.units), "missing": missing, "bytes": run.nbytes})
        return
    try:
        _describe(run)
    except (KeyError, TypeError) as error:
        raise DamagedStore(f"{run.folder / 'run.json'} does not describe its run ({error}): restore it from a copy") from error
    click.echo(f"units      {len(run.units)}, {size(run.nbytes)} in {len(run.commits)} files\n")
    click.echo(table(("site", "dims", "units", "size"), [_site_row(run, site) for site in held]))
    if lacking or not held:
        click.echo(f"\nincomplete: {len(lacking) or len(run.units)} units lack sites; the same `actlas extract` finishes it")


def _describe(run: Run) -> None:
    model, numerics = run.description["model"], run.specification["numerics"]
    click.echo(f"run        {run.id}  {' '.join(run.names)}")
    click.echo(
        printable(f"model      {model['name']}: {model['layer']} blocks, {model['head']} heads, d_model {model['d_model']}")
    )
    click.echo(f"weights    {run.specification['model']['weights']}")
    click.echo(
        printable(
            f"sentences  {run.sentences} of {run.description['source']}, {run.tokens} tokens{', BOS' * run.description['bos']}"
        )
    )
    columns = run.description["labels"]["columns"]
    click.echo(printable(f"columns    {' '.join(columns) or 'none'}"))
    click.echo(
        f"numerics   computed in {numerics['dtype']}, stored in {numerics['stored_dtype']}, {numerics['attention']} attention"
    )
    click.echo(printable(f"made       {run.description['created']} with actlas {run.description['actlas']}{_devices(run)}"))


def _devices(run: Run) -> str:
    devices = sorted({commit.provenance.get("device", "?") for commit in run.commits})
    return f" on {', '.join(devices)}" if devices else ""


def _site_row(run: Run, site: str) -> tuple[str, str, str, str]:
    layouts = [commit.sites[site].layout for commit in run.commits if site in commit.sites]
    units = sum(site in run.held(unit.number) for unit in run.units)
    sizes = (dim if dim == "token" else f"{dim} {count}" for dim, count in zip(layouts[0].dims, layouts[0].shape, strict=True))
    return site, ", ".join(sizes), f"{units}/{len(run.units)}", size(sum(layout.nbytes for layout in layouts))

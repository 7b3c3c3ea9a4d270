"""A run as a notebook shows it: what it was made from, what it holds, how to read it."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from actlas.store.errors import DamagedStore
from actlas.store.format.schema import BLOCK_DIMS, Json

if TYPE_CHECKING:
    from actlas.store.runs.run import Run

MEGA = 1e6
#: text and lines take the notebook's own colours, light or dark
LEFT = "text-align:left;padding:0.1em 1em 0.1em 0"
RIGHT = "text-align:right;padding:0.1em 1em 0.1em 0"


def run_html(run: Run) -> str:
    """Return a run as HTML without anything outside it; whatever a store says of itself is text."""
    name = escape(run.name)
    facts = "".join(
        f'<tr><th style="{LEFT}">{escape(what)}</th><td style="{LEFT}">{told}</td></tr>'
        for what, told in _facts(run)
    )
    sites = "".join(
        f'<tr><td style="{LEFT}"><code>{escape(site)}</code></td><td style="{LEFT}">{escape(dims)}</td>'
        f'<td style="{LEFT}">{escape(dtype)}</td><td style="{RIGHT}">{nbytes / MEGA:,.1f}</td>'
        f'<td style="{RIGHT}">{units}</td></tr>'
        for site, dims, dtype, nbytes, units in _sites(run)
    )
    heads = (
        ("site", LEFT),
        ("dims", LEFT),
        ("stored as", LEFT),
        ("MB", RIGHT),
        (f"of {len(run.units)} units", RIGHT),
    )
    head = "".join(f'<th style="{style}">{escape(what)}</th>' for what, style in heads)
    complete = next(iter(run.sites), None)
    opened = (
        f"<p><code>run.dataset((&quot;{escape(complete)}&quot;,))</code> is a lazy xarray.Dataset.</p>"
        if complete
        else ""
    )
    return (
        f"<div><strong>actlas run {name}</strong><table>{facts}</table>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{sites}</tbody></table>{opened}</div>"
    )


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    model, numerics = _part(run.description, "model"), _part(run.specification, "numerics")
    yield "id", f"<code>{escape(run.id)}</code>"
    size = ", ".join(
        f"{model[key]} {what}"
        for key, what in (("layer", "blocks"), ("head", "heads"))
        if key in model
    )
    yield "model", escape(f"{model.get('name', '?')}{': ' if size else ''}{size}")
    yield "sentences", f"{run.sentences:,}, {run.tokens:,} tokens"
    yield "labels", escape(_labels(run))
    seed = f", dropout on, seed {numerics.get('seed')}" if numerics.get("mode") == "train" else ""
    yield (
        "computed in",
        escape(f"{numerics.get('dtype', '?')}, {numerics.get('attention', '?')} attention{seed}"),
    )
    if run.edits:
        yield "edits", "<br>".join(f"<code>{escape(edit.text)}</code>" for edit in run.edits)
        yield "baseline", f"<code>{escape(str(run.baseline_id))}</code>"


def _labels(run: Run) -> str:
    try:
        names = " ".join(run.label_record.columns) or "no columns"
        return f"version {run.labels_version}: {names}"
    except DamagedStore as error:
        return str(error)


def _part(record: Json, key: str) -> Json:
    part = record.get(key)
    return part if isinstance(part, dict) else {}


def _sites(run: Run) -> Iterator[tuple[str, str, str, int, int]]:
    """Yield name, dims, dtype, bytes and number of units of each site that any unit has."""
    held = [run.held(unit.number) for unit in run.units]
    for site in sorted(frozenset().union(*held)):
        layouts = [holding.sites[site].layout for holding in run.holdings if site in holding.sites]
        units = sum(site in here for here in held)
        if not layouts:
            yield site, "the baseline's", "", 0, units
            continue
        first = layouts[0]
        dims = [
            dim
            if dim == "token"
            else f"{dim} {count + first.first if dim in BLOCK_DIMS else count}"
            for dim, count in zip(first.dims, first.shape, strict=True)
        ]
        yield site, ", ".join(dims), first.dtype, sum(layout.nbytes for layout in layouts), units

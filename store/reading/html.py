"""A run as a notebook shows it: what it was made from, what it holds, how to read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from html import escape

from actlas.store.format.edit_records import read_edits
from actlas.store.format.parts import WHOLE, ranges
from actlas.store.format.schema import BLOCK_DIMS, Json
from actlas.store.reading.index import RunIndex

MEGA = 1e6
#: text and lines take the notebook's own colours, light or dark
LEFT = "text-align:left;padding:0.1em 1em 0.1em 0"
RIGHT = "text-align:right;padding:0.1em 1em 0.1em 0"


@dataclass(frozen=True)
class StoredRun:
    """A row of the table of a store; its name, model and sites come from anywhere."""

    name: str
    model: str
    sentences: int
    tokens: int
    sites: str
    nbytes: int


def store_html(path: str, runs: Sequence[StoredRun], damaged: Mapping[str, str]) -> str:
    """Return a store as HTML without anything outside it; whatever it says of itself is text.

    damaged: name or id of what cannot be opened → why.
    """
    styles = (LEFT, LEFT, RIGHT, RIGHT, LEFT, RIGHT)
    heads = ("run", "model", "sentences", "tokens", "sites", "MB")
    head = "".join(
        f'<th style="{style}">{what}</th>' for what, style in zip(heads, styles, strict=True)
    )
    body = ""
    for run in runs:
        *texts, nbytes = astuple(run)
        cells = [*(f"{x:,}" if isinstance(x, int) else escape(x) for x in texts)]
        cells.append(f"{nbytes / MEGA:,.1f}")
        row = "".join(
            f'<td style="{style}">{cell}</td>' for cell, style in zip(cells, styles, strict=True)
        )
        body += f"<tr>{row}</tr>"
    notes = "".join(
        f"<p>not readable: {escape(name)}: {escape(why)}</p>" for name, why in damaged.items()
    )
    count = f"{len(runs)} run{'' if len(runs) == 1 else 's'}"
    return (
        f"<div><strong>actlas store {escape(path)}</strong>: {count}"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}</div>"
    )


def run_html(
    run: RunIndex, specification: Json, description: Json, labels: str, baseline: str | None
) -> str:
    """Return a run as HTML without anything outside it; whatever a store says of itself is text.

    labels: version and columns in words. baseline: id of that of a variant.
    """
    name = escape(run.name)
    facts = "".join(
        f'<tr><th style="{LEFT}">{escape(what)}</th><td style="{LEFT}">{value}</td></tr>'
        for what, value in _facts(run, specification, description, labels, baseline)
    )
    sites = "".join(
        f'<tr><td style="{LEFT}"><code>{escape(site)}</code></td>'
        f'<td style="{LEFT}">{escape(dims)}</td>'
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
        f"<p><code>run.dataset((&quot;{escape(complete)}&quot;,))</code> is a lazy "
        "xarray.Dataset.</p>"
        if complete
        else ""
    )
    return (
        f"<div><strong>actlas run {name}</strong><table>{facts}</table>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{sites}</tbody></table>{opened}</div>"
    )


def _facts(
    run: RunIndex, specification: Json, description: Json, labels: str, baseline: str | None
) -> Iterator[tuple[str, str]]:
    model, numerics = _part(description, "model"), _part(specification, "numerics")
    yield "id", f"<code>{escape(run.run)}</code>"
    sizes = [("layer", "blocks"), ("head", "heads")]
    if model.get("kv_head") != model.get("head"):
        sizes.append(("kv_head", "of keys and values"))
    size = ", ".join(f"{model[key]} {what}" for key, what in sizes if key in model)
    yield "model", escape(f"{model.get('name', '?')}{': ' if size else ''}{size}")
    sentences = sum(unit.sentences for unit in run.units)
    tokens = sum(unit.tokens for unit in run.units)
    yield "sentences", f"{sentences:,}, {tokens:,} tokens"
    yield "labels", escape(labels)
    seed = f", dropout on, seed {numerics.get('seed')}" if numerics.get("mode") == "train" else ""
    yield (
        "computed in",
        escape(f"{numerics.get('dtype', '?')}, {numerics.get('attention', '?')} attention{seed}"),
    )
    if baseline:
        edits = read_edits(specification)
        yield "edits", "<br>".join(f"<code>{escape(edit.text)}</code>" for edit in edits)
        yield "baseline", f"<code>{escape(baseline)}</code>"


def _part(record: Json, key: str) -> Json:
    part = record.get(key)
    return part if isinstance(part, dict) else {}


def _sites(run: RunIndex) -> Iterator[tuple[str, str, str, int, int]]:
    """Yield name, dims, dtype, bytes and number of units of each site that any unit has."""
    held = [
        {part.site for each in run.locations(unit) for part in each.holds} for unit in run.units
    ]
    for site in sorted(set[str]().union(*held)):
        layouts = [each.sites[site].layout for each in run.records if site in each.sites]
        units = sum(site in here for here in held)
        if not layouts:
            yield site, "the baseline's", "", 0, units
            continue
        first = layouts[0]
        dims = []
        for dim, count in zip(first.dims, first.shape, strict=True):
            numbers = ranges(run.known[site]) if dim in BLOCK_DIMS else count
            kept = run.of((site,))
            tokens = dim if kept.kept == WHOLE else f"{dim} ({kept.kept_text})"
            dims.append(tokens if dim == "token" else f"{dim} {numbers}")
        yield site, ", ".join(dims), first.dtype, sum(layout.nbytes for layout in layouts), units

"""What heads attend to, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actlas.analysis.declaring.phrases import number
from actlas.analysis.declaring.shown import Caption

if TYPE_CHECKING:
    import xarray as xr

#: scores of which the head that leaves uniform attention most is named
NAMED = ("previous", "first", "duplicate", "induction")
KEYS = {
    "previous": "the token before",
    "first": "the first token",
    "duplicate": "earlier occurrences of the token",
    "induction": "the tokens behind earlier occurrences",
}
FEWEST = 30  # queries, below which a finding says how few there are


def of_heads(result: xr.Dataset) -> list[str]:
    """Name the head that gives each sort of key most beyond uniform attention, the most first.

    Scores of few queries stand behind all others.
    """
    found = []
    for kind in NAMED:
        place = _highest(result, kind)
        if place is None:
            continue
        layer, head = place
        here = {"kind": kind, "layer": result["layer"].values[layer]}
        score, uniform, excess = (
            float(result[name].sel(here).isel(head=head)) for name in ("score", "uniform", "excess")
        )
        queries = int(result["queries"].sel(kind=kind).max())
        few = queries < FEWEST
        counted = f"{queries:,} {'query' if queries == 1 else 'queries'}"
        only = f" (of {counted} only)" if few else f" ({counted})"
        line = (
            f"L{here['layer']}H{head} gives {KEYS[kind]} {score:.0%} of its attention, where "
            f"uniform attention would give {uniform:.0%}{only}"
        )
        found.append((few, -excess, line))
    return [line for _, _, line in sorted(found)]


def captions(result: xr.Dataset) -> dict[str, Caption]:
    """Return the captions by kind of figure: which heads stand out."""
    named = []
    for kind in NAMED:
        place = _highest(result, kind)
        if place is not None:
            excess = result["excess"].sel(kind=kind).isel(layer=place[0], head=place[1])
            layer = result["layer"].values[place[0]]
            named.append(f"{kind} L{layer}H{place[1]} ({float(excess):+.2f})")
    listed = f" Highest: {', '.join(named)}." if named else ""
    return {
        "": Caption(
            "Score of each head beyond uniform attention",
            f"Blue: more than uniform attention would give; single dark cells are heads with a "
            f"habit of their own.{listed}",
        ),
        "groups": Caption(
            "Weight between groups of tokens, beyond uniform attention",
            f"Rows of panels are the queries, columns the keys.{_between(result)}",
        ),
    }


def _highest(result: xr.Dataset, kind: str) -> tuple[int, int] | None:
    excess = result["excess"].sel(kind=kind).transpose("layer", "head")
    if not int(result["queries"].sel(kind=kind).max()) or not bool(excess.notnull().any()):
        return None
    layer, head = divmod(int(excess.fillna(-9).values.argmax()), excess.sizes["head"])
    return layer, head


def _between(result: xr.Dataset) -> str:
    excess = result["attention_excess"].stack(at=("from", "to", "layer", "head"))
    if not bool(excess.notnull().any()):
        return ""
    top = excess.isel(at=int(excess.fillna(-9).values.argmax()))
    return (
        f" Highest: L{int(top['layer'])}H{int(top['head']) if 'head' in top.coords else 0}, from "
        f"{top['from'].values} to {top['to'].values} ({number(top, '+.2f')})."
    )

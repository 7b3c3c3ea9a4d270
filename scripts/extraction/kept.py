"""What of a run is kept: layers and depths as users write them, and as messages name them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from actlas.pipeline.models.sites import SITES
from actlas.store.errors import UsageError
from actlas.store.format.parts import WHOLE, SitePart, ranges

EXAMPLE = "expected such as 0,6,11 or 0-5"

if TYPE_CHECKING:
    from actlas.store.runs.run import Run


def parse_numbers(text: str | None, what: str) -> tuple[int, ...] | None:
    """Return the layers or depths of a list such as ``0,6,10-11``, ascending; None for none.

    what: how messages call the option. Raises UsageError for another text.
    """
    if text is None:
        return None
    numbers: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})(?:-(\d{1,4}))?\s*", part)
        named = range(int(match[1]), int(match[2] or match[1]) + 1) if match else ()
        if not named:
            raise UsageError(
                f"{what} {text[:100]!r}: {part[:100]!r} is not a number or a range: {EXAMPLE}"
            )
        numbers.update(named)
    return tuple(sorted(numbers))


def kept_numbers(
    layers: str | None, depths: str | None
) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """Return the layers and depths to keep, each None for all.

    Depths that are not given are the inputs and outputs of the layers, as in an export.
    """
    of_layers, of_depths = parse_numbers(layers, "--layers"), parse_numbers(depths, "--depths")
    if of_layers is not None and of_depths is None:
        of_depths = tuple(sorted({end for layer in of_layers for end in (layer, layer + 1)}))
    return of_layers, of_depths


def layers_of_model(run: Run) -> int | None:
    """Return how many layers the model of a run has, None where its record does not say."""
    model = run.description.get("model")
    count = model.get("layer") if isinstance(model, dict) else None
    return count if isinstance(count, int) else None


def kept_parts(run: Run, held: Mapping[str, Iterable[int]]) -> dict[str, str]:
    """Return site → such as ``layer 0,6,11``, of the sites that lack layers or depths."""
    count, found = layers_of_model(run), {}
    dims: dict[str, str] = {}
    for record in run.records:
        dims.update({name: site.layout.dims[0] for name, site in record.sites.items()})
    for site, numbers in sorted(held.items()):
        dim = dims.get(site, "")
        every = {"layer": count, "depth": None if count is None else count + 1}.get(dim)
        if every is not None and len(set(numbers)) < every:
            found[site] = f"{dim} {ranges(numbers)}"
    return found


def parts_in_words(run: Run, held: Mapping[str, Iterable[int]]) -> dict[str, str]:
    """Return ``kept_parts``, and of sites that lack tokens which they have."""
    found = kept_parts(run, held)
    for site in held if run.index.has_selections else ():
        index = run.index.of((site,))
        if index.kept != WHOLE:
            found[site] = " ".join(filter(None, (found.get(site), f"tokens {index.kept_text}")))
    return found


def parts_text(parts: Iterable[SitePart], layers: int) -> str:
    """Return such as ``q k (0,6,11); nll``, sites with the same numbers together.

    layers: of the model; a site with all of its layers or depths is named alone.
    """
    words: dict[str, list[str]] = {}
    for site, numbers, _ in parts:
        every = {"layer": layers, "depth": layers + 1}.get(SITES[site].dims[0], 1)
        whole = len(numbers) == every
        words.setdefault("" if whole else ranges(numbers), []).append(site)
    return "; ".join(
        f"{' '.join(sites)} {f'({numbers})' if numbers else ''}".strip()
        for numbers, sites in words.items()
    )

"""The command that makes again what a run lacks, as far as the run knows it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from actlas.pipeline.models.sites import SITES
from actlas.scripts.extraction.kept import layers_of_model
from actlas.store.format.parts import SitePart, ranges
from actlas.store.format.schema import Json
from actlas.store.labels.special import SpecialChoice, special_of
from actlas.store.runs.run import Run

SPECIAL_OPTIONS: Mapping[SpecialChoice, list[str]] = {
    "default": [],
    "bos": ["--bos"],
    "none": ["--no-special"],
}


def extract_command(run: Run, parts: Sequence[SitePart], store: Path) -> str:
    """Return the ``actlas extract`` command for ``parts`` of ``run``, or more of its sites.

    SENTENCES stands for its input, whose name a run keeps.

    Options stand where the run's specification asks for them, and no others but the model, so the
    command may run elsewhere.
    """
    numerics: Json = run.specification["numerics"]
    words = [
        "actlas",
        "extract",
        "SENTENCES",
        "--model",
        run.description["model"]["name"],
        "--store",
        str(store),
    ]
    words += [word for part in parts for word in ("--site", part.site)]
    words += _kept_options(run, parts)
    words += ["--name", run.names[0]] if run.names else []
    words += (
        ["--revision", run.description["model"]["revision"]]
        if run.description["model"]["revision"]
        else []
    )
    words += SPECIAL_OPTIONS[special_of(run.description).choice]
    words += ["--dtype", numerics["dtype"]] if numerics["dtype"] != "float32" else []
    words += (
        ["--stored-dtype", numerics["stored_dtype"]]
        if numerics["stored_dtype"] != numerics["dtype"]
        else []
    )
    words += ["--attention", numerics["attention"]] if numerics["attention"] != "sdpa" else []
    words += [word for edit in run.edits for word in ("--edit", edit.text)]
    words += (
        ["--train-mode", "--seed", str(numerics["seed"])] if numerics["mode"] == "train" else []
    )
    words += [word for text in _kept_tokens(run, parts) for word in ("--tokens", text)]
    return shlex.join(words)


def _kept_tokens(run: Run, parts: Sequence[SitePart]) -> tuple[str, ...]:
    """Return how the tokens were asked for that are kept of all of ``parts``, nothing for all."""
    known = run.index.selections.known
    wanted = {part.kept for part in parts}
    if not wanted <= known.keys():
        return ()
    return next(
        (known[kept].tokens for kept in run.index.selections.widest_first if kept in wanted), ()
    )


def _kept_options(run: Run, parts: Sequence[SitePart]) -> list[str]:
    """Return ``--layers`` and ``--depths`` where not all of the model's are wanted."""
    count, found = layers_of_model(run), dict[str, set[int]]()
    for site, numbers, _ in parts:
        if site in SITES:
            found.setdefault(SITES[site].dims[0], set()).update(numbers)
    words: list[str] = []
    every = {"layer": count, "depth": None if count is None else count + 1}
    for dim in ("layer", "depth"):
        # where layers are given, depths are theirs unless they are given too
        if dim in found and (words or len(found[dim]) != every[dim]):
            words += [f"--{dim}s", ranges(found[dim])]
    return words

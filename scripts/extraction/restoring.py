"""The command that makes again what a run lacks, as far as the run knows it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from actlas.store.format.schema import Json
from actlas.store.labels.special import SpecialChoice, special_of
from actlas.store.runs.run import Run

SPECIAL_OPTIONS: Mapping[SpecialChoice, list[str]] = {
    "default": [],
    "bos": ["--bos"],
    "none": ["--no-special"],
}


def extract_command(run: Run, sites: Sequence[str], store: Path) -> str:
    """Return the ``actlas extract`` command for ``sites`` of ``run``.

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
    words += [word for site in sites for word in ("--site", site)]
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
    return shlex.join(words)

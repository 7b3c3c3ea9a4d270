"""Options and arguments that several commands share, and how they become objects of the library."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from actlas.store.catalog import Store
from actlas.store.errors import UsageError
from actlas.store.run import Run

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_STORE = "actlas-store"

store_option = click.option(
    "--store",
    "store_path",
    type=click.Path(path_type=Path),
    default=DEFAULT_STORE,
    envvar="ACTLAS_STORE",
    show_default=True,
    show_envvar=True,
    help="Folder of the store.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


def run_argument(function: F) -> F:
    """Give a command the argument RUN and --store; it receives ``run``."""

    @click.argument("reference", metavar="RUN")
    @store_option
    @wraps(function)
    def command(*args: Any, reference: str, store_path: Path, **options: Any) -> Any:
        run: Run = Store(store_path).run(reference)
        return function(*args, run=run, **options)

    return command  # type: ignore[return-value]  # click's decorators do not keep the signature


def target_options(function: F) -> F:
    """Give a command the choice of target and control tokens; it receives ``target``."""

    @click.option("--target", "word", required=True, metavar="WORD", help="The word to study, as a whole word.")
    @click.option("--case", is_flag=True, help="Let upper and lower case differ.")
    @click.option(
        "--occurrence",
        type=click.Choice(["first", "last", "all"]),
        default="first",
        show_default=True,
        help="Which, where a sentence has the word more than once.",
    )
    @click.option(
        "--pool",
        type=click.Choice(["last", "first", "mean"]),
        default="last",
        show_default=True,
        help="Which token stands for a word of several, or the mean of all.",
    )
    @click.option(
        "--control",
        type=click.Choice(["previous", "random", "matched"]),
        default="previous",
        show_default=True,
        help="Compare with the token just before the word, a random earlier one, or one at the same position in another "
        "sentence; never with the first of a sentence.",
    )
    @click.option("--seed", type=int, default=0, show_default=True, help="Seed of all that is drawn.")
    @wraps(function)
    def command(*args: Any, word: str, **options: Any) -> Any:
        from actlas.analysis.tokens import Target

        chosen = {name: options.pop(name) for name in ("case", "occurrence", "pool", "control", "seed")}
        target = Target(word, **chosen)
        return function(*args, target=target, **options)

    return command  # type: ignore[return-value]


def output_options(function: F) -> F:
    """Give a command the folder its result and figures go to; it receives ``out``, None for the default."""
    decorated: F = click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder for the result and its figures.  [default: actlas-results/RUN]",
    )(function)
    return decorated


def parse_layers(text: str | None, count: int) -> list[int]:
    """Return the layers of a list such as ``0,12,40-47``, sorted, each once; all where it is None.

    Raises UsageError for what is no such list or names a layer outside 0 … count - 1.
    """
    if text is None:
        return list(range(count))
    layers: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not match:
            raise UsageError(f"--layers {text!r}: {part!r} is neither a layer nor a range, wanted such as 0,12,40-47")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < count:
            raise UsageError(f"--layers {text!r}: {part.strip()} is not within 0-{count - 1}, the blocks of this model")
        layers.update(range(first, last + 1))
    return sorted(layers)

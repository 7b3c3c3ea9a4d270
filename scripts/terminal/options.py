"""Options and arguments that several commands share, and how they become objects of the library."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from actlas.scripts.analyses.bounds import number
from actlas.scripts.extraction.cluster_options import cluster_options
from actlas.scripts.results.output import Destination
from actlas.scripts.terminal.completion import complete_run
from actlas.scripts.terminal.paths import UserPath
from actlas.store.catalog import Store
from actlas.store.errors import UsageError
from actlas.store.format.schema import EXPORT_SUFFIXES, NUMPY_VIEW
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    from actlas.pipeline.distributed.cluster import Cluster

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_STORE = "actlas-store"
DTYPES = tuple(NUMPY_VIEW)

store_option = click.option(
    "--store",
    "store_path",
    type=UserPath(),
    default=DEFAULT_STORE,
    envvar="ACTLAS_STORE",
    show_default=True,
    show_envvar=True,
    help="Folder of the store.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object instead of text."
)


READING = ("text_column", "skip_bad", "rename", "drop")  # options that ``read_sentences`` takes


def reading_options(function: F) -> F:
    """Give a command the choice of columns and lines; it receives the keywords ``READING``."""
    options = (
        click.option(
            "--text-column",
            default="text",
            show_default=True,
            help="Column that has the sentence, of a table or JSON.",
        ),
        click.option(
            "--rename",
            multiple=True,
            metavar="OLD=NEW",
            help="Give a column another name; may be repeated.",
        ),
        click.option(
            "--drop", multiple=True, metavar="NAME", help="Skip a column; may be repeated."
        ),
        click.option(
            "--skip-bad", is_flag=True, help="Skip lines that cannot be used, and list them."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def extraction_options(function: F) -> F:
    """Give a command with the argument ``sentences`` the choice of model, store, reading and numerics.

    It receives ``request``, whose sites and edits it sets itself, and ``quiet``.
    """

    @click.option(
        "--model",
        default="demo",
        show_default=True,
        help="demo, a local folder, or a hub id (gpt2 … gpt2-xl, distilgpt2).",
    )
    @click.option(
        "--revision",
        help="Commit, tag or branch of a hub model; the one that was used is recorded.",
    )
    @store_option
    @reading_options
    @click.option(
        "--bos", is_flag=True, help="Put the tokenizer's BOS token in front of each sentence."
    )
    @click.option(
        "--unit-tokens",
        type=number("unit_tokens"),
        default=2048,
        show_default=True,
        help="Tokens a batch, padding counted.",
    )
    @click.option(
        "--device",
        default="auto",
        show_default=True,
        help="auto (a GPU where there is one), cpu, cuda or cuda:N.",
    )
    @click.option(
        "--dtype",
        type=click.Choice(DTYPES),
        default="float32",
        show_default=True,
        help="Precision of the computation.",
    )
    @click.option(
        "--stored-dtype",
        type=click.Choice(DTYPES),
        help="Precision of the store.  [default: as computed]",
    )
    @click.option(
        "--attention",
        type=click.Choice(["sdpa", "eager"]),
        default="sdpa",
        show_default=True,
        help="Implementation of attention.",
    )
    @click.option(
        "--pack/--no-pack",
        default=True,
        show_default=True,
        help="At the end, join the files of a run that has more than 1000 small ones; see `actlas pack`.",
    )
    @cluster_options
    @click.option("--quiet", is_flag=True, help="No progress bar.")
    @wraps(function)
    def command(
        *args: Any, sentences: str, store_path: Path, cluster: Cluster | None, **options: Any
    ) -> Any:
        from actlas.pipeline.extraction.options import ExtractOptions
        from actlas.pipeline.models.sites import DEFAULT_SITES
        from actlas.scripts.extraction.request import Request

        numerics = {
            name: options.pop(name)
            for name in ("dtype", "stored_dtype", "attention", "unit_tokens", "device")
        }
        reading = {
            name: options.pop(name) for name in ("model", "revision", "bos", "pack", *READING)
        }
        request = Request(
            sentences,
            store_path,
            ExtractOptions(DEFAULT_SITES, **numerics),
            **reading,
            cluster=cluster,
        )
        return function(*args, request=request, **options)

    return command  # type: ignore[return-value]


def named_sites(
    context: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the table's names of the sites that an option names, as any of their names; callback of ``--site``."""
    from actlas.pipeline.models.hook_names import site_name

    return tuple(site_name(name).site for name in given)


def run_argument(function: F) -> F:
    """Give a command the argument RUN, of a store or the path of an export, and --store; it receives ``run``."""

    @click.argument("reference", metavar="RUN", shell_complete=complete_run)
    @store_option
    @wraps(function)
    def command(*args: Any, reference: str, store_path: Path, **options: Any) -> Any:
        run = open_run(reference, store_path)
        return function(*args, run=run, **options)

    return command  # type: ignore[return-value]  # click's decorators do not keep the signature


def open_run(reference: str, store: Path) -> Run:
    """Return the export that ``reference`` is the path of, otherwise the run of that name or id in the store."""
    if is_export(reference):
        from actlas.store.reading.exported import Exported

        return Exported(Path(reference))
    return Store(store).run(reference)


def is_export(reference: str) -> bool:
    """Whether a RUN on the command line is the path of an export: it ends as one, and is there or has a folder before it."""
    path = Path(reference)
    return path.suffix in EXPORT_SUFFIXES and (os.sep in reference or path.exists())


def is_results(reference: str, store: Path) -> bool:
    """Whether a RUN on the command line is a folder: it is one, and no run of the store has that name."""
    if not Path(reference).is_dir():
        return False
    return (
        os.sep in reference
        or not (store / "store.json").is_file()
        or reference not in Store(store).names()
    )


def target_options(function: F) -> F:
    """Give a command the choice of target and control tokens; it receives ``target``."""

    @click.option(
        "--target",
        "word",
        required=True,
        metavar="WORD",
        help="The word to study, as a whole word: `can` is not in `can't`.",
    )
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
    @click.option(
        "--seed",
        type=number("seed"),
        default=0,
        show_default=True,
        help="Seed of all that is drawn.",
    )
    @wraps(function)
    def command(*args: Any, word: str, **options: Any) -> Any:
        from actlas.analysis.data.tokens import Target

        chosen = {
            name: options.pop(name) for name in ("case", "occurrence", "pool", "control", "seed")
        }
        target = Target(word, **chosen)
        return function(*args, target=target, **options)

    return command  # type: ignore[return-value]


def output_options(function: F) -> F:
    """Give a command the folder its result and figures go to; it receives ``out``."""

    @click.option(
        "--out",
        type=UserPath(file_okay=False),
        help="Folder for the result and its figures.  [default: actlas-results/RUN]",
    )
    @wraps(function)
    def command(*args: Any, out: Path | None, **options: Any) -> Any:
        return function(*args, out=Destination(out), **options)

    return command  # type: ignore[return-value]


def parse_layers(text: str | None, held: Sequence[int]) -> list[int]:
    """Return the layers of a list such as ``0,12,40-47``, sorted, each once; all of ``held`` where it is None.

    Raises UsageError for what is no such list or names a layer that is not held.
    """
    if text is None:
        return sorted(held)
    layers: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
        if not match:
            raise UsageError(
                f"--layers {text!r}: {part!r} is neither a layer nor a range, wanted such as 0,12,40-47"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        named = range(first, last + 1)
        if not named or not {named[0], named[-1]} <= set(held) or not set(named) <= set(held):
            raise UsageError(
                f"--layers {text!r}: {part.strip()} is not within {_ranges(held)}, the blocks that are stored"
            )
        layers.update(named)
    return sorted(layers)


def _ranges(numbers: Sequence[int]) -> str:
    """Return numbers as ``parse_layers`` reads them."""
    runs: list[list[int]] = []
    for layer in sorted(numbers):
        if runs and runs[-1][-1] == layer - 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)

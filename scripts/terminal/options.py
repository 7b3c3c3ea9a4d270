"""Options and arguments that several commands share, and how they become objects of the library."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from actlas.scripts.analyses.bounds import number
from actlas.scripts.extraction.cluster_options import cluster_options
from actlas.scripts.extraction.text_options import text_options
from actlas.scripts.results.output import Destination
from actlas.scripts.terminal.completion import complete_run
from actlas.scripts.terminal.paths import UserPath
from actlas.store.errors import UsageError
from actlas.store.format.schema import EXPORT_SUFFIXES, NUMPY_VIEW
from actlas.store.remote.path import is_url

if TYPE_CHECKING:
    from actlas.pipeline.distributed.cluster import Cluster
    from actlas.store.runs.run import Run

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_STORE = "actlas-store"
DTYPES = tuple(NUMPY_VIEW)

#: commands that write to the store, or look at its files one by one
LOCAL = ("extract", "sweep", "relabel", "rename", "rm", "gc", "pack", "index", "verify", "du")


def _local_where_written(context: click.Context, parameter: click.Parameter, given: Path) -> Path:
    """Raise UsageError for a URL as the store of a command that needs it on a disk."""
    if context.info_name in LOCAL and is_url(given):
        raise UsageError(
            f"`actlas {context.info_name}` needs the store on a disk, got {given}, which is only "
            "read: run it where the store lies"
        )
    return given


store_option = click.option(
    "--store",
    "store_path",
    type=UserPath(),
    callback=_local_where_written,
    default=DEFAULT_STORE,
    envvar="ACTLAS_STORE",
    show_default=True,
    show_envvar=True,
    help="Folder of the store; to read, also its URL.",
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
    # decorators apply from the last to the first, and click lists options in their order
    for option in reversed(options):
        function = option(function)
    return function


def extraction_options(function: F) -> F:
    """Give a command with the argument ``sentences`` the options of an extraction.

    These are model, store, reading and numerics.

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
        "--bos",
        is_flag=True,
        help="Put the tokenizer's BOS token in front of each sentence, where it does not by itself "
        "(GPT-2).",
    )
    @click.option(
        "--no-special",
        is_flag=True,
        help="Leave out the special tokens that the tokenizer adds, such as [CLS] and [SEP].",
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
        "--layers",
        metavar="LIST",
        help="Layers to keep, such as 0,6,11 or 0-5; further ones can be added later.  "
        "[default: all]",
    )
    @click.option(
        "--depths",
        metavar="LIST",
        help="Depths of `resid` to keep.  [default: input and output of each of --layers]",
    )
    @click.option(
        "--tokens",
        multiple=True,
        metavar="last|GROUP|POSITIONS",
        help="Tokens to keep: the last of each sentence, positions such as 0,1,-1, or a group such "
        "as her or her@-1; may be repeated.  [default: all; of a variant, those of its baseline]",
    )
    @click.option(
        "--stored-dtype",
        type=click.Choice(DTYPES),
        help="Precision of the store.  [default: as computed]",
    )
    @click.option(
        "--attention",
        type=click.Choice(["auto", "sdpa", "eager"]),
        default="auto",
        show_default=True,
        help="Implementation of attention; auto is sdpa where that computes what config.json "
        "says, else eager.",
    )
    @click.option(
        "--pack/--no-pack",
        default=True,
        show_default=True,
        help="At the end, pack the files of a run that has more than 1000 small ones; see `actlas "
        "pack`.",
    )
    @click.option(
        "--readout/--no-readout",
        default=True,
        show_default=True,
        help="Store the model's final norm, unembedding and vocabulary beside the runs; see "
        "`actlas readout`.",
    )
    @text_options
    @cluster_options
    @click.option("--quiet", is_flag=True, help="No progress bar.")
    @wraps(function)
    def command(
        *args: Any, sentences: str, store_path: Path, dask_cluster: Cluster | None, **options: Any
    ) -> Any:
        from actlas.pipeline.extraction.options import ExtractOptions
        from actlas.pipeline.models.sites import DEFAULT_SITES
        from actlas.scripts.extraction.kept import kept_numbers
        from actlas.scripts.extraction.request import Request, special_choice

        layers, depths = kept_numbers(options.pop("layers"), options.pop("depths"))
        numerics = {
            name: options.pop(name)
            for name in ("dtype", "stored_dtype", "attention", "unit_tokens", "device")
        }
        numerics |= {"layers": layers, "depths": depths, "tokens": options.pop("tokens") or None}
        others = ("model", "revision", "pack", "readout", "windows", "labels")
        reading = {name: options.pop(name) for name in (*others, *READING)}
        special = special_choice(bos=options.pop("bos"), no_special=options.pop("no_special"))
        request = Request(
            sentences,
            store_path,
            ExtractOptions(DEFAULT_SITES, by_default=DEFAULT_SITES, **numerics),
            **reading,
            special=special,
            cluster=dask_cluster,
        )
        return function(*args, request=request, **options)

    return command  # type: ignore[return-value]


def named_sites(
    context: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the names of sites in the table, from any of their names; callback of ``--site``."""
    from actlas.pipeline.models.hook_names import site_name

    return tuple(site_name(name).site for name in given)


def run_argument(function: F) -> F:
    """Give a command the argument RUN, of a store or the path of an export, and --store.

    It receives ``run``.
    """

    @click.argument("reference", metavar="RUN", shell_complete=complete_run)
    @store_option
    @wraps(function)
    def command(*args: Any, reference: str, store_path: Path, **options: Any) -> Any:
        run = open_run(reference, store_path)
        return function(*args, run=run, **options)

    return command  # type: ignore[return-value]  # click's decorators do not keep the signature


def open_run(reference: str, store: Path) -> Run:
    """Return the export that ``reference`` is the path of.

    Otherwise the run of that name or id in the store.
    """
    if is_export(reference):
        from actlas.store.runs.exported import Exported

        return Exported(reference)
    from actlas.store.catalog import Store

    return Store(store).run(reference)


def is_export(reference: str) -> bool:
    """Whether a RUN on the command line is the path of an export.

    It ends as one, and is there or has a folder before it.
    """
    path = Path(reference)
    return path.suffix in EXPORT_SUFFIXES and (os.sep in reference or path.exists())


def is_results(reference: str, store: Path) -> bool:
    """Whether a RUN on the command line is a folder.

    It is one, and no run of the store has that name.
    """
    from actlas.store.catalog import Store

    if not Path(reference).is_dir():
        return False
    return (
        os.sep in reference
        or not (store / "store.json").is_file()
        or reference not in Store(store).names()
    )


def output_options(function: F) -> F:
    """Give a command the folder its result and figures go to; it receives ``out``."""

    @click.option(
        "--out",
        type=UserPath(file_okay=False),
        help="Folder for the result and its figures.  [default: actlas-results/RUN]",
    )
    @click.option("--pdf", is_flag=True, help="Write the figures as PDF too.")
    @wraps(function)
    def command(*args: Any, out: Path | None, pdf: bool, **options: Any) -> Any:
        return function(*args, out=Destination(out, pdf=pdf), **options)

    return command  # type: ignore[return-value]

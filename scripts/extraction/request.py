"""An extraction as the user words it, read, tokenized and looked up before anything is computed."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from actlas.pipeline.extraction.generation import Answers, GenerateOptions
from actlas.pipeline.extraction.options import ExtractOptions
from actlas.pipeline.extraction.plan import Plan
from actlas.pipeline.extraction.planning import make_plan, settled
from actlas.pipeline.inputs.sentences import BadLine, Sentences, read_sentences
from actlas.pipeline.inputs.tokens import Tokenized, tokenize
from actlas.pipeline.models.files.digest_cache import cache_folder
from actlas.pipeline.models.folder import ModelFolder, resolve
from actlas.scripts.terminal.text import printable
from actlas.store.catalog import Store
from actlas.store.errors import ActlasError, IncompleteRun, UsageError
from actlas.store.format.run_names import check_run_name
from actlas.store.labels.columns import check_columns
from actlas.store.labels.special import SpecialChoice

if TYPE_CHECKING:
    from actlas.pipeline.distributed.cluster import Cluster

MODEL_EXTRA = ("tokenizers", "safetensors", "torch", "transformers")


@dataclass(frozen=True)
class Request:
    """An extraction as the user words it."""

    sentences: str
    store: Path
    options: ExtractOptions
    model: str = "demo"
    revision: str | None = None
    name: str | None = None
    text_column: str = "text"
    special: SpecialChoice = "default"  # the special tokens around each sentence
    skip_bad: bool = False
    rename: tuple[str, ...] = ()  # columns, each OLD=NEW
    drop: tuple[str, ...] = ()  # columns
    cluster: Cluster | None = None  # who computes; this process where None
    pack: bool = True  # pack the files of a run that has many small ones
    generate: GenerateOptions | None = None  # extend each sentence by what the model writes
    only_stored: bool = False  # refuse to generate what no run has


@dataclass(frozen=True)
class Planned:
    """A plan and the lines it leaves out."""

    plan: Plan
    skipped: tuple[BadLine, ...]
    notes: tuple[str, ...] = ()  # of the reader


def special_choice(*, bos: bool, no_special: bool) -> SpecialChoice:
    """Return what ``--bos`` and ``--no-special`` ask for; raises UsageError for both at once."""
    if bos and no_special:
        raise UsageError("--bos adds a special token, --no-special leaves all out: give one")
    return "bos" if bos else "none" if no_special else "default"


def generate_options(
    tokens: int | None, temperature: float | None, seed: int | None
) -> GenerateOptions | None:
    """Return how prompts are extended, None where they are not; raises UsageError."""
    if tokens is None:
        if temperature is not None:
            raise UsageError("--temperature is of --generate: give both, or neither")
        return None
    return GenerateOptions(tokens, temperature, seed or 0)


def require_model_extra() -> None:
    """Raise ActlasError, naming the extra, where what runs a model is not installed."""
    missing = [name for name in MODEL_EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise ActlasError(
            f"extracting needs {', '.join(missing)}: install the extra, pip install 'actlas[model]'"
        )


def plan_request(request: Request) -> Planned:
    """Read, tokenize and look into the store; imports no torch and creates nothing."""
    require_model_extra()
    sentences = read_sentences(
        request.sentences,
        text_column=request.text_column,
        skip_bad=request.skip_bad,
        rename=request.rename,
        drop=request.drop,
    )
    check_columns(sentences.columns)
    model = resolve(request.model, request.revision)
    if cache_folder() is None:
        click.echo(
            "note: no home folder (HOME is not set), so weights are hashed again: set "
            "XDG_CACHE_HOME",
            err=True,
        )
    tokens = tokenize(sentences, model, special=request.special, skip_bad=request.skip_bad)
    store = Store(request.store) if Store.is_at(request.store) else None
    if request.generate:
        tokens = _with_answers(request, store, model, tokens, request.generate)
    plan = make_plan(store, model, tokens, _source(sentences), request.options)
    if request.name is not None:
        check_run_name(request.name)
        if store:
            store.check_name(request.name, plan.run_id)
    return Planned(plan, (*sentences.skipped, *tokens.skipped), sentences.notes)


def _with_answers(
    request: Request,
    store: Store | None,
    model: ModelFolder,
    prompts: Tokenized,
    how: GenerateOptions,
) -> Tokenized:
    """Return the prompts with their answers, from the store where a run has them."""
    answers = Answers(prompts, model, settled(request.options, model.architecture), how)
    stored = answers.stored(store)
    if stored is None and request.only_stored:
        raise IncompleteRun(
            "no stored run has what this model writes behind these prompts with these settings: "
            "leave --dry-run or --cached-only out to generate it"
        )
    return stored or answers.generate()


def echo_skipped(planned: Planned) -> None:
    """List on stderr what was skipped of the input."""
    for note in planned.notes:
        click.echo(f"note: {printable(note)}", err=True)
    for bad in planned.skipped:
        click.echo(f"skipped line {bad.number}: {printable(bad.reason)}", err=True)


def _source(sentences: Sentences) -> str:
    return "stdin" if sentences.source == "-" else Path(sentences.source).stem

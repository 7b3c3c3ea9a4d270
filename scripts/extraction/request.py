"""An extraction as the user words it, read, tokenized and looked up before anything is computed."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from actlas.pipeline.edits.spec import Edit, in_order, parse_edit
from actlas.pipeline.extraction.options import ExtractOptions
from actlas.pipeline.extraction.plan import Plan
from actlas.pipeline.extraction.planning import make_plan, settled
from actlas.pipeline.generation.answers import Answers, GenerateOptions
from actlas.pipeline.inputs.sentences import BadLine, Sentences, read_sentences
from actlas.pipeline.inputs.tokens import Tokenized, tokenize
from actlas.pipeline.inputs.windows import Windows
from actlas.pipeline.models.files.digest_cache import cache_folder
from actlas.pipeline.models.folder import ModelFolder, resolve
from actlas.pipeline.models.hook_names import check_layers, site_names
from actlas.pipeline.models.sites import DEFAULT_SITES
from actlas.pipeline.token_labels.join import token_labels
from actlas.pipeline.token_labels.spans import Spans, read_spans
from actlas.scripts.extraction.engine import OneProcess
from actlas.scripts.extraction.kept_tokens import with_kept
from actlas.scripts.terminal.text import printable
from actlas.store.catalog import Store
from actlas.store.errors import ActlasError, IncompleteRun, UsageError
from actlas.store.format.run_names import check_run_name
from actlas.store.labels.columns import check_columns
from actlas.store.labels.special import SpecialChoice

if TYPE_CHECKING:
    from actlas.pipeline.distributed.cluster import Cluster

NO_HOME = "no home folder (HOME is not set), so weights are hashed again: set XDG_CACHE_HOME"
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
    windows: Windows | None = None  # that texts are cut into
    labels: str | None = None  # file of labels of tokens
    cluster: Cluster | None = None  # who computes; this process where None
    readout: bool = True  # store the readout of the model too
    pack: bool = True  # pack the files of a run that has many small ones
    generate: GenerateOptions | None = None  # extend each sentence by what the model writes
    only_stored: bool = False  # refuse to generate what no run has


@dataclass(frozen=True)
class Planned:
    """A plan and the lines it leaves out."""

    plan: Plan
    skipped: tuple[BadLine, ...]
    notes: tuple[str, ...] = ()  # of the reader, on windows, on labels, and what else there is
    engine: OneProcess | None = None  # that has the model, where text was generated with it


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


def chosen(request: Request, sites: Sequence[str], edits: Sequence[str | Edit]) -> Request:
    """Return ``request`` with the sites and edits that the user names, the usual sites where none.

    Raises UsageError for what is neither.
    """
    options = replace(
        request.options,
        sites=site_names(sites or DEFAULT_SITES),
        by_default=() if sites else DEFAULT_SITES,
        edits=in_order(parse_edit(each) if isinstance(each, str) else each for each in edits),
    )
    return replace(request, options=options)


def plan_sites(
    request: Request,
    sites: Sequence[str],
    sentences: Sentences | None = None,
    model: ModelFolder | None = None,
) -> Planned:
    """Do ``plan_request``; raises UsageError for a layer in ``sites`` that there is not."""
    planned = plan_request(request, sentences, model)
    check_layers(sites, planned.plan.model.geometry.n_layer)
    return planned


def plan_request(
    request: Request,
    sentences: Sentences | None = None,
    model: ModelFolder | None = None,
    engine: OneProcess | None = None,
) -> Planned:
    """Read, tokenize and look into the store; imports no torch and creates nothing.

    sentences, model: those that are in memory, in place of the ones that ``request`` names. engine:
    what loads the model where text is to be generated.
    """
    require_model_extra()
    _check_generate(request)
    if sentences is None:
        sentences = read_sentences(
            request.sentences,
            text_column=request.text_column,
            skip_bad=request.skip_bad,
            rename=request.rename,
            drop=request.drop,
        )
    check_columns(sentences.columns)
    spans = None if request.labels is None else read_spans(request.labels)
    model = model or resolve(request.model, request.revision)
    notes = list(sentences.notes)
    if cache_folder() is None:
        notes.append(NO_HOME)
    tokens = tokenize(
        sentences,
        model,
        special=request.special,
        skip_bad=request.skip_bad,
        windows=request.windows,
    )
    tokens = tokens if spans is None else _labelled(tokens, spans)
    store = Store(request.store) if Store.is_at(request.store) else None
    tokens, engine = _with_answers(request, store, model, tokens, engine)
    tokens = with_kept(tokens, request.options.tokens)
    plan = make_plan(store, model, tokens, _source(sentences), request.options)
    if request.name is not None:
        check_run_name(request.name)
        if store:
            store.check_name(request.name, plan.run_id)
    skipped = (*sentences.skipped, *tokens.skipped)
    return Planned(plan, skipped, (*notes, *tokens.notes), engine)


def _check_generate(request: Request) -> None:
    """Raise UsageError for what a prompt that is extended cannot be combined with."""
    if request.generate and request.windows:
        raise UsageError("--generate extends whole prompts: leave --window out")
    if request.generate and request.labels is not None:
        raise UsageError(
            "--labels are of texts that are there: extract with --generate first, then "
            "`actlas relabel RUN --labels FILE`"
        )


def _labelled(tokens: Tokenized, spans: Spans) -> Tokenized:
    """Return the tokens with the labels that ``spans`` give them."""
    found = token_labels(tokens.labels, spans, windowed=tokens.windows is not None)
    check_columns(tokens.labels.columns, found.columns)
    labels = replace(tokens.labels, token_columns=found.columns)
    return replace(tokens, labels=labels, notes=(*tokens.notes, *found.notes))


def _with_answers(
    request: Request,
    store: Store | None,
    model: ModelFolder,
    prompts: Tokenized,
    engine: OneProcess | None,
) -> tuple[Tokenized, OneProcess | None]:
    """Return the prompts with their answers, from the store where a run has them.

    They are as they are where they are not to be extended. With answers that were generated comes
    what has the model, for the extraction in this process.
    """
    if request.generate is None:
        return prompts, None
    options = settled(request.options, model.architecture)
    answers = Answers(prompts, model, options, request.generate)
    stored = answers.stored(store)
    if stored is None and request.only_stored:
        raise IncompleteRun(
            "no stored run has what this model writes behind these prompts with these settings: "
            "`actlas study run` generates it, or `actlas extract` without --dry-run, --cached-only"
        )
    if stored is not None:
        return stored, None
    engine = engine or OneProcess()
    generated = answers.generate(engine.model(answers.job))
    return generated, engine if request.cluster is None else None


def echo_skipped(planned: Planned) -> None:
    """List on stderr what was skipped of the input."""
    for note in planned.notes:
        click.echo(f"note: {printable(note)}", err=True)
    for bad in planned.skipped:
        click.echo(f"skipped line {bad.number}: {printable(bad.reason)}", err=True)


def _source(sentences: Sentences) -> str:
    return "stdin" if sentences.source == "-" else Path(sentences.source).stem

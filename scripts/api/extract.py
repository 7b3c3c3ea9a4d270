"""``actlas.extract``: what the command does, for texts and models in memory too."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, get_type_hints

from actlas.pipeline.edits.spec import Edit
from actlas.pipeline.extraction.options import ExtractOptions
from actlas.pipeline.inputs.objects import check_ids, given_sentences
from actlas.pipeline.models.sites import DEFAULT_SITES
from actlas.scripts.api.choices import NAMES, taken
from actlas.scripts.extraction.edit_check import unchanged
from actlas.scripts.extraction.engine import Engine, GivenModel
from actlas.scripts.extraction.extraction import carry_out
from actlas.scripts.extraction.frontend import PYTHON
from actlas.scripts.extraction.planned import miss_text
from actlas.scripts.extraction.request import (
    Planned,
    Request,
    chosen,
    plan_sites,
    require_model_extra,
)
from actlas.scripts.extraction.stopping import Interrupted
from actlas.scripts.study.tables import typed
from actlas.scripts.terminal.options import DEFAULT_STORE, READING
from actlas.store.catalog import Store
from actlas.store.errors import IncompleteRun, UsageError, unknown
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    from actlas.pipeline.distributed.cluster import Cluster
    from actlas.pipeline.inputs.sentences import Sentences
    from actlas.pipeline.models.folder import ModelFolder

#: fields that are arguments of their own
ARGUMENTS = {
    *("sentences", "store", "options", "model", "name", "cluster"),
    *("sites", "edits", "by_default", "only_stored", "windows", "whole"),
}
WORKERS = ("workers", "scheduler")
#: what a model object decides by itself
DECIDED = ("dtype", "attention", "device")


@dataclass(frozen=True)
class Chosen:
    """A model as it was given: by name, or in memory with who computes with it."""

    name: str
    folder: ModelFolder | None = None
    engine: Engine | None = None


def extract(
    texts: Any,
    model: Any = "demo",
    *,
    tokenizer: Any = None,
    sites: str | Iterable[str] = (),
    edits: str | Edit | Iterable[str | Edit] = (),
    store: str | Path | Store | None = None,
    name: str | None = None,
    cached_only: bool = False,
    quiet: bool = False,
    **options: Any,
) -> Run:
    """Run ``texts`` through a model once, keep the activations of every layer, return the run.

    What is stored is not computed again: the same texts and the same model are the same run, that
    of ``actlas extract`` too.

    texts: a list or any iterable of str, or of mappings with the text in ``text_column``; a pandas
    or polars DataFrame; a ``datasets.Dataset``; the path of a file. Other columns are labels.
    model: "demo", a folder or a hub id; or a PreTrainedModel in eval mode with its ``tokenizer``,
    which is known by its state and is left as it is: in its dtype, on its device.
    sites: what to keep, TransformerLens' names too; the usual ones by default.
    edits: interventions, such as "skip:layer=5"; the run without them is made first.
    store: folder of the store; ``$ACTLAS_STORE`` or ``actlas-store`` by default.
    name: of the run; otherwise made of file, model and edits.
    cached_only: answer from the store or raise IncompleteRun.
    quiet: no progress bar.
    options: as of the command, with their names and defaults: ``dtype``, ``stored_dtype``,
    ``attention``, ``device``, ``unit_tokens``, ``dropout_seed`` (``--train-mode``), ``special``
    ("default", "bos", "none"), ``revision``, ``text_column``, ``rename``, ``drop``, ``skip_bad``,
    ``pack``, ``readout``, ``labels``, ``workers``, ``scheduler``; ``layers`` and ``depths``, a
    number or several; ``tokens``, "last", positions or groups; ``window`` and ``stride``;
    ``generate``, ``temperature`` and ``seed``.

    Raises ActlasError, with the message of the command: UsageError for what was asked wrongly,
    InputError for texts that cannot be used, StoreError. Ctrl-C raises KeyboardInterrupt; what is
    stored by then stays, and the same call goes on.
    """
    wanted = _each(sites)
    request = chosen(_request(store, name, options), wanted, _each(edits))
    require_model_extra()
    request = replace(request, only_stored=cached_only)
    with _model(model, tokenizer, request, options) as given:
        request = replace(request, model=given.name, options=_decided(request.options, given))
        if isinstance(texts, str | os.PathLike):
            request, sentences = replace(request, sentences=os.fspath(texts)), None
        else:
            sentences = _sentences(texts, request)
        planned = plan_sites(request, wanted, sentences, given.folder)
        if callable(tokenizer) and request.special == "default" and not request.windows:
            check_ids(tokenizer, planned.plan.tokens.labels)
        if cached_only and planned.plan.missing:
            raise IncompleteRun(miss_text(planned.plan, "leave cached_only out"))
        _warn_of(planned)
        run = _carried_out(request, planned, given, quiet=quiet)
    for note in unchanged(run):
        PYTHON.note(note.removeprefix("note: "))
    return run


def _each(given: Any) -> tuple[Any, ...]:
    return (given,) if isinstance(given, str | Edit) else tuple(given)


def _sentences(texts: Any, request: Request) -> Sentences:
    return given_sentences(texts, **{name: getattr(request, name) for name in READING})


def _carried_out(request: Request, planned: Planned, given: Chosen, *, quiet: bool) -> Run:
    try:
        engine = given.engine or planned.engine
        return carry_out(request, planned.plan, quiet=quiet, frontend=PYTHON, engine=engine)[0]
    except Interrupted as error:
        raise KeyboardInterrupt(str(error)) from None


def _warn_of(planned: Planned) -> None:
    for note in planned.notes:
        PYTHON.note(note)
    for bad in planned.skipped:
        PYTHON.note(f"skipped {bad.number}: {bad.reason}")


def _request(store: Any, name: str | None, options: dict[str, Any]) -> Request:
    """Return the request of these options; raises UsageError for one that there is not."""
    kinds: dict[str, tuple[Any, Any]] = {}
    for kind in (ExtractOptions, Request):
        hints = get_type_hints(kind, localns={"Cluster": object})
        kinds |= {
            field.name: (kind, hints[field.name])
            for field in fields(kind)
            if field.name not in {*ARGUMENTS, *NAMES}
        }
    rest = dict(options)
    numerics, reading = taken(rest)
    found: dict[Any, dict[str, Any]] = {ExtractOptions: numerics, Request: reading}
    for option, value in rest.items():
        if option in WORKERS:
            continue
        if option not in kinds:
            raise unknown("option", option, [*kinds, *NAMES, *WORKERS])
        kind, hint = kinds[option]
        found[kind][option] = typed(_plain(value), hint, option)
    folder = store.path if isinstance(store, Store) else store
    return Request(
        "",
        Path(folder or os.environ.get("ACTLAS_STORE") or DEFAULT_STORE),
        ExtractOptions(DEFAULT_SITES, by_default=DEFAULT_SITES, **found[ExtractOptions]),
        name=name,
        cluster=_cluster(options),
        **found[Request],
    )


def _plain(value: Any) -> Any:
    """Return ``torch.float16`` as its name, a tuple as a list."""
    if type(value).__module__ == "torch" and type(value).__name__ == "dtype":
        return str(value).removeprefix("torch.")
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:  # of NumPy
        return value.item()
    return list(value) if isinstance(value, tuple) else value


def _cluster(options: dict[str, Any]) -> Cluster | None:
    workers, scheduler = (options.get(name) for name in WORKERS)
    if workers is None and scheduler is None:
        return None
    from actlas.pipeline.distributed.cluster import Cluster, require_cluster_extra

    require_cluster_extra()
    return Cluster(workers, scheduler)


@contextmanager
def _model(
    model: Any, tokenizer: Any, request: Request, options: dict[str, Any]
) -> Iterator[Chosen]:
    """Yield the model as it was given; raises UsageError for an object that cannot be used."""
    if isinstance(model, str | os.PathLike):
        if tokenizer is not None:
            raise UsageError("tokenizer is of a model object: a folder has its own, leave it out")
        yield Chosen(os.fspath(model))
        return
    from actlas.pipeline.models.objects import model_object

    if request.cluster is not None:
        raise UsageError("a model object is in this process alone: leave workers and scheduler out")
    if request.revision is not None:
        raise UsageError("a model object has no revision: leave revision out")
    if request.generate is not None:
        raise UsageError("generate takes a model that is saved: give its folder or name")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="actlas-model-")))
        made = model_object(model, tokenizer, folder)
        for name in DECIDED:
            given, own = str(_plain(options.get(name, "auto"))), getattr(made, name)
            if given not in ("auto", own):
                raise UsageError(
                    f"{name} is {given!r}, but the model given has {own!r}: leave it out"
                )
        yield Chosen(made.name, made, GivenModel(model))


def _decided(options: ExtractOptions, given: Chosen) -> ExtractOptions:
    made = given.folder
    if made is None:
        return options
    return replace(options, **{name: getattr(made, name) for name in DECIDED})

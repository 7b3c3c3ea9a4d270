"""Planning: options become the plan of a run, once a command.

Variants share the plan of their baseline.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime

from actlas.pipeline.edits.branch import Branch
from actlas.pipeline.edits.spec import Edit, edit_record
from actlas.pipeline.extraction.options import Attention, ExtractOptions
from actlas.pipeline.extraction.plan import Plan, wanted_parts
from actlas.pipeline.inputs.batches import plan_units
from actlas.pipeline.inputs.tokens import Tokenized
from actlas.pipeline.keeping import settled_tokens
from actlas.pipeline.models.architecture import Architecture
from actlas.pipeline.models.folder import ModelFolder
from actlas.pipeline.models.installed import version
from actlas.pipeline.models.scores import score_facts
from actlas.pipeline.models.sites import SITES, SITES_VERSION
from actlas.store.catalog import Store
from actlas.store.errors import DamagedStore, UsageError
from actlas.store.format.edit_records import STREAM
from actlas.store.format.parts import ranges
from actlas.store.format.schema import FORMAT_VERSION, Json, identity
from actlas.store.io.safe_open import uncollected
from actlas.store.labels.generated import GENERATED, generated_of
from actlas.store.runs.run import Run


def make_plan(
    store: Store | None, model: ModelFolder, tokens: Tokenized, source: str, options: ExtractOptions
) -> Plan:
    """Work out the run and what it lacks, for a variant also its baseline, which has its units.

    An older run's units stay as they are: its shards follow them. Raises UsageError for edits that
    the model has no place for.
    """
    options = settled(options, model.architecture)
    if not options.edits:
        return _plan_baseline(store, model, tokens, source, options)
    baseline = _plan_baseline(store, model, tokens, source, _of_baseline(options))
    return _plan_variant(baseline, options)


def plan_variants(
    plan: Plan, edits: Iterable[tuple[Edit, ...]], sites: tuple[str, ...] | None = None
) -> list[Plan]:
    """Return the plan of each variant of ``plan``, a run without edits, looked up once.

    edits: of each variant those that act together. sites: what variants keep, as ``plan`` where
    None. Raises UsageError for edits that the model has no place for.
    """
    options = replace(plan.options, sites=sites or plan.options.sites)
    wanted = _of_baseline(options)
    baseline = (
        plan if plan.options == wanted else renewed(replace(plan, options=wanted), plan.store)
    )
    return [_plan_variant(baseline, replace(options, edits=each)) for each in edits]


def renewed(plan: Plan, store: Store | None, baseline: Plan | None = None) -> Plan:
    """Return ``plan`` by what is stored now, by this command or another process.

    baseline: the one of a variant, where it is known by what is stored now.
    """
    if baseline is not None:
        return _plan_variant(replace(baseline, store=store), plan.options)
    return make_plan(store, plan.model, plan.tokens, plan.description["source"], plan.options)


def settled(options: ExtractOptions, architecture: Architecture) -> ExtractOptions:
    """Return ``options`` with nothing left open that the model decides.

    Raises UsageError for sites that it
    lacks, or that its attention does not give.
    """
    family, attention = architecture.family, options.attention
    _check_numbers(options, architecture.geometry.n_layer)
    chosen = options.by_default
    sites = tuple(name for name in options.sites if name in family.rows or name not in chosen)
    architecture.check_sites(sites)
    if attention == "auto":
        wanted: Attention = "sdpa" if family.attention == "any" else family.attention
        given = all(architecture.can_hand_over(name, wanted) for name in sites)
        attention = wanted if given else "eager"
    if family.attention not in ("any", attention):
        raise UsageError(
            f"{family.model_type} is wrong with {attention} attention here: "
            f"use --attention {family.attention}"
        )
    for name in sites:
        if not architecture.can_hand_over(name, attention):
            raise UsageError(
                f"site {name} of {family.model_type} cannot be had with {attention} attention of "
                f"transformers {version()}: "
                + ("use --attention eager" if name == "pattern" else "install version 5")
            )
    return replace(options, sites=sites, attention=attention, by_default=())


def _check_numbers(options: ExtractOptions, layers: int) -> None:
    """Raise UsageError for layers or depths that a model of so many ``layers`` does not have."""
    for name, numbers, last in (
        ("layers", options.layers, layers - 1),
        ("depths", options.depths, layers),
    ):
        beyond = [number for number in numbers or () if not 0 <= number <= last]
        if beyond:
            raise UsageError(f"--{name} has {ranges(beyond)}, expected {name} 0 to {last}")


@uncollected()
def _plan_baseline(
    store: Store | None, model: ModelFolder, tokens: Tokenized, source: str, options: ExtractOptions
) -> Plan:
    """Return the plan of a run without edits."""
    if options.mode == "train" and not any(
        model.effective[rate] for rate in model.family.config.dropouts
    ):
        raise UsageError(
            f"model {model.name} has dropout rates of 0 in config.json: "
            "--train-mode would change nothing"
        )
    specification = _specification(model, tokens, options)
    run = store.find(identity(specification)) if store else None
    if run:
        _check_texts(run, tokens)
        tokens = settled_tokens(run, tokens, options)
    parts = wanted_parts(options, model, tokens)
    if run:
        units, missing = run.units, run.index.missing_parts(parts)
    else:
        units = tuple(plan_units(tokens.labels.row_size.tolist(), options.unit_tokens))
        missing = [(unit, parts) for unit in units]
    return Plan(
        store,
        run,
        specification,
        _description(model, tokens, source),
        units,
        tuple(missing),
        model,
        tokens,
        options,
    )


@uncollected()
def _plan_variant(baseline: Plan, options: ExtractOptions) -> Plan:
    """Return the plan of a run with edits, of the model, tokens and units of ``baseline``."""
    branch = Branch.of(options.edits, baseline.model.architecture)
    edits = [edit_record(edit).to_json() for edit in branch.edits]
    specification = {**baseline.specification, "edits": edits}
    run = baseline.store.find(identity(specification)) if baseline.store else None
    units = run.units if run else baseline.units
    parts = wanted_parts(options, baseline.model, baseline.tokens)
    missing = run.index.missing_parts(parts) if run else [(unit, parts) for unit in units]
    if run:
        if missing and units != baseline.units:
            raise UsageError(
                f"run {run.name} was begun in other units than its baseline has now: "
                f"remove {run.folder} to start over"
            )
        if not baseline.missing:
            _check_stranded(run)
        settled_tokens(run, baseline.tokens, options)  # which may not cross what it keeps
        _check_texts(run, baseline.tokens)
    return replace(
        baseline,
        run=run,
        specification=specification,
        units=units,
        missing=tuple(missing),
        options=options,
        branch=branch,
        baseline=baseline,
    )


def _check_stranded(run: Run) -> None:
    """Raise DamagedStore for a variant whose baseline no longer has the blocks that they share."""
    from actlas.store.reading.sources import stranded  # and with it dask

    units = stranded(run.index)
    if units:
        raise DamagedStore(
            f"{next(iter(units.values()))} ({len(units)} units: "
            f"`actlas verify {run.name} --repair`, then this command again)"
        )


def _of_baseline(options: ExtractOptions) -> ExtractOptions:
    """Return the options of the run without edits.

    A variant shares its sites and starts from its residual, at whatever depth its edits begin, of
    all tokens.
    """
    sites = tuple(site for site in SITES if site in (STREAM, *options.sites))
    return replace(options, edits=(), sites=sites, depths=None, whole=(STREAM,))


def _specification(model: ModelFolder, tokens: Tokenized, options: ExtractOptions) -> Json:
    """Return the identity of a run without edits."""
    return {
        "format_version": FORMAT_VERSION,
        "sites_version": SITES_VERSION,
        "model": {
            "family": model.family.loaded_type,
            "weights": model.weights_digest,
            "config": model.config_digest,
        },
        "tokens": tokens.digest,
        "numerics": {
            "dtype": options.dtype,
            "stored_dtype": options.stored,
            "attention": options.attention,
            "mode": options.mode,
            "seed": options.dropout_seed,
        },
        "edits": [],
    }


def _check_texts(run: Run, tokens: Tokenized) -> None:
    """Raise UsageError where a run has these tokens of other texts, as after dropping case."""
    if run.description.get("texts") != tokens.text_digest:
        raise UsageError(
            f"run {run.name} has the same tokens, but of other texts than these: its activations "
            "would be right and its "
            "texts wrong; give the sentences it was made from, or another --store"
        )
    stored = generated_of(run.description)
    lengths = tokens.generated.prompt_tokens if tokens.generated else None
    if lengths is not None and (stored is None or stored.prompt_tokens != lengths):
        raise UsageError(
            f"run {run.name} has the same tokens, but not as prompts of these lengths with what "
            "was generated behind them: give another --store"
        )


def _description(model: ModelFolder, tokens: Tokenized, source: str) -> Json:
    """Return what a reader wants to know of a run and its identity does not say."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": {
            "name": model.name,
            "revision": model.revision,
            "law": model.architecture.family.law,
            "causal": model.architecture.family.causal,
            "attention": score_facts(model.effective, model.architecture),
            **model.geometry.sizes,
        },
        "source": source,
        "sentences": len(tokens.labels.text),
        "tokens": tokens.labels.tokens,
        "special": tokens.special.to_json(),
        "tokenizer": tokens.tokenizer,
        "texts": tokens.text_digest,
        **({"windows": asdict(tokens.windows)} if tokens.windows else {}),
        "actlas": importlib.metadata.version("actlas"),
        **({GENERATED: tokens.generated.to_json()} if tokens.generated else {}),
    }

"""The plan of an extraction: which run it is, what of it is stored, what is missing, what that costs. Needs no torch."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal, get_args

from actlas.pipeline.edits.branch import Branch
from actlas.pipeline.edits.spec import Edit, edit_record
from actlas.pipeline.extraction.transfer import QUEUE_BYTES
from actlas.pipeline.inputs.batches import plan_units
from actlas.pipeline.inputs.tokens import Tokenized
from actlas.pipeline.models.folder import ModelFolder
from actlas.pipeline.models.sites import SITES, SITES_VERSION, layout
from actlas.store.catalog import Store
from actlas.store.errors import DamagedStore, UsageError
from actlas.store.format.edit_records import STREAM, EditRecord
from actlas.store.format.schema import (
    FORMAT_VERSION,
    NUMPY_VIEW,
    Json,
    SiteLayout,
    StoredDtype,
    Unit,
    identity,
)
from actlas.store.io.safe_open import uncollected
from actlas.store.labels.labels import Labels
from actlas.store.labels.relabel import LabelChange, label_change
from actlas.store.runs.run import Run

Attention = Literal["sdpa", "eager"]
ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
LOSS_CHUNK = 128  # tokens whose logits exist at a time


@dataclass(frozen=True)
class ExtractOptions:
    """What to compute and how; all but ``sites``, ``unit_tokens`` and ``device`` is part of the run's identity."""

    sites: tuple[str, ...]
    dtype: StoredDtype = "float32"  # of the computation
    stored_dtype: StoredDtype | None = None  # as computed where None
    attention: Attention = "sdpa"
    unit_tokens: int = 2048  # of a batch, padding counted
    device: str = "auto"  # auto: a GPU where there is one
    dropout_seed: int | None = None  # dropout on, drawn from this seed; off where None
    edits: tuple[Edit, ...] = ()  # of a variant

    def __post_init__(self) -> None:
        """Raise UsageError for values outside what is possible."""
        for name, value, valid in (
            ("dtype", self.dtype, tuple(NUMPY_VIEW)),
            ("stored dtype", self.stored, tuple(NUMPY_VIEW)),
            ("attention", self.attention, get_args(Attention)),
        ):
            if value not in valid:
                raise UsageError(f"unknown {name} {value!r}: wanted {', '.join(valid)}")
        if self.unit_tokens < 1:
            raise UsageError(f"--unit-tokens is {self.unit_tokens}, wanted 1 or more")
        if not self.sites:
            raise UsageError("no site was asked for: wanted one --site at least")
        if self.dropout_seed is not None and self.dropout_seed < 0:
            raise UsageError(f"--seed is {self.dropout_seed}, wanted 0 or more")
        if self.dropout_seed is not None and self.edits:
            raise UsageError(
                "edits are compared with a run that computes the same but for them: leave --train-mode out"
            )
        weights = [site for site in self.sites if site in SITES and SITES[site].weights]
        if weights and self.attention != "eager":
            raise UsageError(
                f"site {weights[0]} needs --attention eager: {self.attention} attention never has the weights"
            )

    @property
    def mode(self) -> Literal["eval", "train"]:
        """Mode of the model, as part of the identity."""
        return "eval" if self.dropout_seed is None else "train"

    @property
    def stored(self) -> StoredDtype:
        """Dtype in the store."""
        return self.stored_dtype or self.dtype


@dataclass(frozen=True)
class Job:
    """What the units of a run have in common for who computes them; with a ``WorkItem``, the store and the model it is all."""

    model: ModelFolder
    options: ExtractOptions
    branch: Branch | None  # of a variant
    longest: int  # tokens of the run's longest sentence
    tokenizer: str  # digest, for the provenance
    texts: str  # digest of all texts, for the provenance
    weights: str  # digest in the identity: the model that computes must have it

    def layouts(self, unit: Unit, sites: Sequence[str]) -> list[SiteLayout]:
        """Return how the shard of ``sites`` of ``unit`` is laid out."""
        whole = [
            layout(site, self.model.geometry, unit.tokens, self.options.stored, self.longest)
            for site in sites
        ]
        return self.branch.own(whole) if self.branch else whole


@dataclass(frozen=True)
class WorkItem:
    """A unit that is to be computed and the structural labels of its sentences: small in any plan."""

    unit: Unit
    sites: tuple[str, ...]
    labels: Labels


@dataclass(frozen=True)
class Plan:
    """An extraction before it starts: the run's specification, its units, and what of them is still to be computed."""

    store: Store | None  # None: it is yet to be made
    run: Run | None  # None: nothing of it is stored
    specification: Json
    description: Json
    units: tuple[Unit, ...]
    missing: tuple[tuple[Unit, tuple[str, ...]], ...]
    model: ModelFolder
    tokens: Tokenized
    options: ExtractOptions
    branch: Branch | None = None  # of a variant
    baseline: Plan | None = None  # of a variant: the run it starts from, with all it needs of it

    @property
    def run_id(self) -> str:
        """The run's id."""
        return identity(self.specification)

    @property
    def edits(self) -> tuple[EditRecord, ...]:
        """The edits of a variant, in the order of the forward pass."""
        return tuple(edit_record(edit) for edit in self.branch.edits) if self.branch else ()

    @cached_property
    def job(self) -> Job:
        """What the missing units have in common."""
        longest = int(self.tokens.labels.row_size.max())
        tokens, weights = self.tokens, self.specification["model"]["weights"]
        return Job(
            self.model,
            self.options,
            self.branch,
            longest,
            tokens.tokenizer,
            tokens.text_digest,
            weights,
        )

    def work_items(self) -> Iterator[WorkItem]:
        """Return what is missing, unit by unit."""
        labels = replace(self.tokens.labels, columns={})
        return (
            WorkItem(unit, sites, labels.sentences(unit.first, unit.sentences))
            for unit, sites in self.missing
        )

    @property
    def missing_bytes(self) -> int:
        """Bytes of activations still to be written."""
        return sum(
            each.nbytes for unit, sites in self.missing for each in self.job.layouts(unit, sites)
        )

    @property
    def memory_bytes(self) -> int:
        """About what the extraction takes on the device, or in memory on a CPU: weights, the widest block, waiting rows."""
        if not self.missing:
            return 0
        geometry, item = self.model.geometry, ITEM_BYTES[self.options.dtype]
        rows = max(self._padded(unit) for unit, _ in self.missing)
        working = rows * (3 * geometry.d_mlp + 8 * geometry.d_model) * item
        logits = 2 * min(rows, LOSS_CHUNK) * geometry.vocabulary * 4
        parameters = self.model.weights_bytes  # as float32 on disk, the family's usual form
        return parameters * item // 4 + working + logits + QUEUE_BYTES

    def nearest(self) -> tuple[Run, list[str]] | None:
        """On a miss: the stored run that differs in the fewest fields, and those fields with both values."""
        return self.store.nearest(self.specification) if self.store and not self.run else None

    @cached_property
    def label_change(self) -> LabelChange | None:
        """What the columns of this input change in the labels of the run or its baseline, if anything.

        An input without columns, such as a .txt, says nothing of labels and leaves them as they are.
        """
        columns = self.tokens.labels.columns
        return (
            label_change(self.labelled, columns, self.tokens.columns_digest)
            if self.labelled and columns
            else None
        )

    @property
    def labelled(self) -> Run | None:
        """The stored run whose labels these sentences have: this one or its baseline."""
        return self.run or (self.baseline.run if self.baseline else None)

    def _padded(self, unit: Unit) -> int:
        sizes = self.tokens.labels.row_size[unit.first : unit.first + unit.sentences]
        return int(sizes.max()) * len(sizes)


@uncollected()
def make_plan(
    store: Store | None, model: ModelFolder, tokens: Tokenized, source: str, options: ExtractOptions
) -> Plan:
    """Work out the run and what it lacks, for a variant also its baseline, which has its units.

    An older run's units stay as they are: its shards follow them. Raises UsageError for edits that the model has no place for.
    """
    if options.mode == "train" and not any(
        model.effective[rate] for rate in model.family.config.dropouts
    ):
        raise UsageError(
            f"model {model.name} has dropout rates of 0 in config.json: --train-mode would change nothing"
        )
    _check_family(model, options)
    branch = Branch.of(options.edits, model.architecture) if options.edits else None
    baseline = make_plan(store, model, tokens, source, _of_baseline(options)) if branch else None
    specification = _specification(model, tokens, options, branch)
    run = store.find(identity(specification)) if store else None
    planned = (
        baseline.units
        if baseline
        else plan_units(tokens.labels.row_size.tolist(), options.unit_tokens)
    )
    units = run.units if run else tuple(planned)
    missing = run.missing(options.sites) if run else [(unit, options.sites) for unit in units]
    if run and baseline and missing and units != baseline.units:
        raise UsageError(
            f"run {run.name} was begun in other units than its baseline has now: remove {run.folder} to begin anew"
        )
    if run and baseline and not baseline.missing:
        _check_stranded(run)
    description = _description(model, tokens, source)
    if run:
        _check_texts(run, tokens)
    return Plan(
        store,
        run,
        specification,
        description,
        units,
        tuple(missing),
        model,
        tokens,
        options,
        branch,
        baseline,
    )


def _check_family(model: ModelFolder, options: ExtractOptions) -> None:
    """Raise UsageError for sites or attention that the model's family does not have."""
    architecture = model.architecture
    architecture.check_sites(options.sites)
    wanted = architecture.family.attention
    if wanted not in ("any", options.attention):
        raise UsageError(
            f"model {model.name} is wrong with {options.attention} attention: "
            f"use --attention {wanted}"
        )


def _check_stranded(run: Run) -> None:
    """Raise DamagedStore for a variant that shares blocks with its baseline which that has otherwise by now."""
    from actlas.store.reading.pieces import stranded  # and with it dask

    units = stranded(run)
    if units:
        raise DamagedStore(
            f"{next(iter(units.values()))} ({len(units)} units: `actlas verify {run.name} --repair`, then this command again)"
        )


def _of_baseline(options: ExtractOptions) -> ExtractOptions:
    """Return the options of the run without edits: a variant shares its sites and starts from its residual."""
    return replace(
        options, edits=(), sites=tuple(site for site in SITES if site in (STREAM, *options.sites))
    )


def _specification(
    model: ModelFolder, tokens: Tokenized, options: ExtractOptions, branch: Branch | None
) -> Json:
    return {
        "format_version": FORMAT_VERSION,
        "sites_version": SITES_VERSION,
        "model": {
            "family": model.family.model_type,
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
        "edits": [edit_record(edit).to_json() for edit in branch.edits] if branch else [],
    }


def _check_texts(run: Run, tokens: Tokenized) -> None:
    """Raise UsageError where a run has these tokens of other texts, as after dropping case."""
    if run.description.get("texts") != tokens.text_digest:
        raise UsageError(
            f"run {run.name} has the same tokens, but of other texts than these: its activations would be right and its "
            "texts wrong; give the sentences it was made from, or another --store"
        )


def _description(model: ModelFolder, tokens: Tokenized, source: str) -> Json:
    """Return what a reader wants to know of a run and its identity does not say."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": {
            "name": model.name,
            "revision": model.revision,
            "law": model.architecture.family.law,
            **model.geometry.sizes,
        },
        "source": source,
        "sentences": len(tokens.labels.text),
        "tokens": tokens.labels.tokens,
        "bos": tokens.bos,
        "tokenizer": tokens.tokenizer,
        "texts": tokens.text_digest,
        "actlas": importlib.metadata.version("actlas"),
    }

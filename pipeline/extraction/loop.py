"""Extraction: the missing units of a plan, each computed, written and committed.

What is committed stays, whatever happens.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from actlas.pipeline.extraction.devices import PRECISION, device_name, find_device, full_precision
from actlas.pipeline.extraction.forward import Extractor, RunContext, out_of_memory
from actlas.pipeline.extraction.plan import Job, Plan, WorkItem
from actlas.pipeline.extraction.progress import SILENT, Callbacks, ExtractionStats
from actlas.pipeline.extraction.self_check import check_layout
from actlas.pipeline.extraction.stored_stream import StoredStream
from actlas.pipeline.extraction.transfer import CudaTransfer, HostTransfer, Transfer
from actlas.pipeline.extraction.variant_pass import VariantPass
from actlas.pipeline.extraction.writes import WriteQueue
from actlas.pipeline.models.folder import load
from actlas.pipeline.models.model_state import check_model, loaded_weights
from actlas.store.errors import StoreError
from actlas.store.format.pools import Origin
from actlas.store.format.schema import Json, SharedSite, stem
from actlas.store.io.workspace import Workspace, workspace
from actlas.store.runs.commits import publish
from actlas.store.writing.shard import ShardWriter

if TYPE_CHECKING:
    from actlas.pipeline.models.family import Model
    from actlas.store.runs.run import Run

SOFTWARE = ("actlas", "torch", "transformers", "h5py", "numpy")


class ChangedWeights(StoreError):
    """A model's files hold other weights than those that were planned with."""


def extract(plan: Plan, run: Run, callbacks: Callbacks = SILENT) -> ExtractionStats:
    """Load the model, compute what ``plan`` lacks and commit it to ``run`` unit by unit.

    Raises UsageError for a device that is not there, StoreError where the disk is full or a value
    does not fit.
    """
    return extract_with(load_for(plan), plan, run, callbacks)


def load_for(job: Plan | Job) -> Model:
    """Load the model of ``job`` on its device.

    Raises UsageError where either cannot be had, StoreError for want of memory, ChangedWeights
    where the files hold other weights than when the job was planned: what is stored is what was
    hashed.
    """
    import torch

    job = job.job if isinstance(job, Plan) else job
    device = find_device(job.options.device)
    try:
        model = load(
            job.model,
            dtype=getattr(torch, job.options.dtype),
            device=device,
            attention=job.options.attention,
        )
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise StoreError(
            f"out of memory when model {job.model.name} was loaded on {device}: use a smaller "
            f"--dtype or another --device"
        ) from error
    if loaded_weights(model) != job.weights:
        raise ChangedWeights(
            f"model {job.model.name}: its weight files in {job.model.folder} changed since the "
            f"extraction was planned: "
            "run the same command again"
        )
    return model


def extract_with(
    model: Model, plan: Plan, run: Run, callbacks: Callbacks = SILENT
) -> ExtractionStats:
    """Do ``extract``'s work with a ``model`` that is loaded already.

    Raises UsageError, before anything is stored, unless it is the one ``plan`` is of, as
    ``load_for(plan)`` gives it.
    """
    check_model(model, plan.job.expected)
    with full_precision():
        check_layout(model, plan.job.model.architecture, plan.options.attention)
    with workspace(run.folder) as work:
        work_items = plan.work_items()
        if work.restored:  # since the plan was made
            run.refresh()
            work_items = (each for each in work_items if run.index.lacks(each.unit, each.parts))
        stats = compute(model, plan.job, work_items, Destination(run, work), callbacks)
    run.refresh()
    return stats


@dataclass(frozen=True)
class Destination:
    """Where units go: the run, a workspace in it.

    ``provenance_extra`` is what the provenance says of those who compute them together.
    """

    run: Run
    work: Workspace
    provenance_extra: Mapping[str, int] = field(default_factory=dict)


def compute(
    model: Model,
    job: Job,
    work_items: Iterable[WorkItem],
    destination: Destination,
    callbacks: Callbacks,
    parts: int = 1,
) -> ExtractionStats:
    """Compute, write and commit ``work_items`` of ``job``, each unit in ``parts`` batches at least.

    Its model is ``model``.

    Once the model has computed them ``callbacks.model_lock`` is given up, and the last unit only
    waits for the disk.
    """
    stats = ExtractionStats(device=device_name(model.device))
    with WriteQueue() as writes:
        with callbacks.model_lock, full_precision():
            loop = _loop(model, job, destination, writes, stats, callbacks)
            loop.extractor.parts = parts
            for item in work_items:
                loop.compute(item)
        start = time.perf_counter()
        writes.drain()
        stats.seconds["store"] += time.perf_counter() - start
    stats.batches = loop.extractor.parts
    return stats


def _loop(
    model: Model,
    job: Job,
    destination: Destination,
    writes: WriteQueue,
    stats: ExtractionStats,
    callbacks: Callbacks,
) -> _Loop:
    device = model.device
    transfer: Transfer = (
        CudaTransfer(writes, device) if device.type == "cuda" else HostTransfer(writes)
    )
    model.train(job.options.mode == "train")
    options, variant_pass = job.options, _variant_pass(job, destination.run)
    stream = None
    # dropout draws in every block, so that none can be left out
    if options.mode == "eval" and options.stored in (options.dtype, "float32"):
        stream = StoredStream(destination.run, job.model.architecture)
    context = RunContext(job.longest, options.dropout_seed, variant_pass, stream)
    extractor = Extractor(
        model, job.model.architecture, transfer, job.options.stored, callbacks.stopped, context
    )
    return _Loop(job, destination, writes, extractor, variant_pass, stats, callbacks)


def _variant_pass(job: Job, run: Run) -> VariantPass | None:
    """Return the pass of a variant, None for a run without edits.

    Raises StoreError where the baseline is not there.
    """
    if job.branch is None:
        return None
    if run.baseline is None:
        raise StoreError(
            f"the baseline of run {run.name} is not in the store: extract without edits first"
        )
    options = job.options
    return VariantPass(
        job.branch,
        job.model.architecture,
        run.baseline,
        computed=options.dtype,
        stored=options.stored,
    )


@cache
def _software() -> Json:
    """Return the versions that a commit records; looking one up reads a file."""
    return {name: importlib.metadata.version(name) for name in SOFTWARE}


@dataclass(frozen=True)
class _Proven:
    """What a variant's commit says beside its numbers; all empty for a run without edits."""

    edits: list[Json]
    upstream: Json
    shared: dict[str, SharedSite]


@dataclass
class _Loop:
    """One extraction under way.

    A unit is computed while the one before it is synced and committed.
    """

    job: Job
    destination: Destination
    writes: WriteQueue
    extractor: Extractor
    variant_pass: VariantPass | None  # of a variant
    stats: ExtractionStats
    callbacks: Callbacks

    def compute(self, item: WorkItem) -> None:
        """Run a unit through the model and queue its commit behind its last row."""
        unit, parts = item.unit, item.parts
        start = time.perf_counter()
        writer = self._writer(item)
        opened = time.perf_counter()
        try:
            self.extractor.run(unit, item.labels, parts, writer, self.writes)
            edits, upstream = self.variant_pass.edit_check() if self.variant_pass else ([], {})
            shared = self.variant_pass.shared(unit, parts) if self.variant_pass else {}
            proven = _Proven(edits, upstream, shared)
            self.writes.commit(lambda: self._commit(item, writer, proven))
        except BaseException:
            self.writes.settle()
            writer.drop()
            raise
        self.stats.seconds["store"] += opened - start
        self.stats.seconds["forward"] += time.perf_counter() - opened

    def _writer(self, item: WorkItem) -> ShardWriter:
        unit, parts, work = item.unit, item.parts, self.destination.work
        path = work.folder / f"{stem(unit.number, parts)}-{work.token}.h5"
        names = {"actlas_run": self.destination.run.id, "actlas_unit": str(unit.number)}
        return ShardWriter(path, self.job.layouts(parts, item.labels), item.labels, names)

    def _commit(self, item: WorkItem, writer: ShardWriter, proven: _Proven) -> None:
        """Sync, publish, count; where that fails, nothing is left of the unit.

        Runs in the thread of commits.
        """
        try:
            self._publish(item, writer, proven)
        except BaseException:
            writer.drop()
            raise
        if not item.further:
            self.callbacks.committed(item.unit)

    def _publish(self, item: WorkItem, writer: ShardWriter, proven: _Proven) -> None:
        record = writer.finish()
        origin = Origin(self._provenance(), proven.edits, proven.upstream, proven.shared)
        commit = record.commit(self.destination.run.id, item.unit, writer.path.name, origin)
        if publish(self.destination.run.folder, writer, commit):
            if not item.further:
                self.stats.units += 1
                self.stats.tokens += item.unit.tokens
            self.stats.nbytes += record.size
        else:
            self.stats.lost_races += 1

    def _provenance(self) -> Json:
        import torch

        return {
            "software": _software(),
            "device": self.stats.device,
            "threads": torch.get_num_threads(),
            "float32_matmul_precision": PRECISION,
            "batches": self.extractor.parts,
            "committed": datetime.now(UTC).isoformat(timespec="seconds"),
            "tokenizer": self.job.tokenizer,
            "texts": self.job.texts,
            **self.destination.provenance_extra,
        }

"""The plan of an extraction.

Which run it is, what of it is stored, what is missing, what that costs. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from actlas.pipeline.edits.branch import Branch
from actlas.pipeline.edits.spec import edit_record
from actlas.pipeline.extraction.loss import LOSS_ROWS, VOCABULARY_TILE
from actlas.pipeline.extraction.options import ExtractOptions
from actlas.pipeline.extraction.writes import QUEUE_BYTES
from actlas.pipeline.inputs.tokens import Tokenized
from actlas.pipeline.models.files.weights import is_tied
from actlas.pipeline.models.folder import ModelFolder
from actlas.pipeline.models.model_state import ExpectedModel, Origin
from actlas.pipeline.models.sites import SITES, layout, site_parts
from actlas.store.catalog import Store
from actlas.store.format.edit_records import EditRecord
from actlas.store.format.parts import SitePart
from actlas.store.format.schema import Json, SiteLayout, Unit, identity
from actlas.store.labels.columns import Columns
from actlas.store.labels.labels import Labels
from actlas.store.labels.relabel import LabelChange, label_change
from actlas.store.runs.run import Run

ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Job:
    """What the units of a run have in common for who computes them.

    A worker needs this, a ``WorkItem``, the store and the model.
    """

    model: ModelFolder
    options: ExtractOptions
    branch: Branch | None  # of a variant
    longest: int  # tokens of the run's longest sentence
    tokenizer: str  # digest, for the provenance
    texts: str  # digest of all texts, for the provenance
    weights: str  # digest in the identity: the model that computes must have it

    @property
    def expected(self) -> ExpectedModel:
        """What the model must be that computes the units."""
        return ExpectedModel(
            Origin(self.weights, self.model.config_digest),
            self.model.family,
            self.options.dtype,
            self.options.attention,
            is_tied(self.model.effective),
        )

    def layouts(self, parts: Iterable[SitePart], labels: Labels) -> list[SiteLayout]:
        """Return how the shard of ``parts`` of a unit with these ``labels`` is laid out."""
        geometry, stored, whole = self.model.geometry, self.options.stored, []
        for part in parts:
            every = layout(part.site, geometry, labels.rows, stored, self.longest)
            whole.append(every.take(part.numbers))
        return self.branch.own(whole) if self.branch else whole


@dataclass(frozen=True)
class WorkItem:
    """A shard of a unit that is to be computed, and the structural labels of its sentences.

    Small in any plan.
    """

    unit: Unit
    parts: tuple[SitePart, ...]
    labels: Labels
    further: bool = False  # a shard of a unit that has another before it


def in_shards(parts: Iterable[SitePart]) -> list[tuple[SitePart, ...]]:
    """Return ``parts`` by the shards that they go into.

    All sites of one have the same layers, depths and tokens, as its variables share these dims.
    """
    shards: list[tuple[dict[str, tuple[int, ...]], list[SitePart]]] = []
    for part in parts:
        dim = SITES[part.site].dims[0]
        for numbers, members in shards:
            alike = numbers.get(dim, part.numbers) == part.numbers
            if alike and members[0].kept == part.kept:
                numbers[dim] = part.numbers
                members.append(part)
                break
        else:
            shards.append(({dim: part.numbers}, [part]))
    return [tuple(members) for _, members in shards]


def wanted_parts(
    options: ExtractOptions, model: ModelFolder, tokens: Tokenized
) -> tuple[SitePart, ...]:
    """Return what ``options`` ask for, of the ``tokens`` that are to be kept."""
    parts = site_parts(options.sites, model.geometry, options.layers, options.depths)
    kept = tokens.labels.kept
    if kept is None:
        return parts
    return tuple(
        part if part.site in options.whole else part._replace(kept=kept.digest) for part in parts
    )


@dataclass(frozen=True)
class Plan:
    """An extraction before it starts.

    The run's specification, its units, and what of them is still to be computed.
    """

    store: Store | None  # None: it is yet to be made
    run: Run | None  # None: nothing of it is stored
    specification: Json
    description: Json
    units: tuple[Unit, ...]
    missing: tuple[tuple[Unit, tuple[SitePart, ...]], ...]
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
        labels = replace(self.tokens.labels, columns={}, token_columns={})
        for unit, parts in self.missing:
            of_unit = labels.sentences(unit.first, unit.sentences)
            for number, shard in enumerate(in_shards(parts)):
                kept = of_unit if shard[0].kept else replace(of_unit, kept=None)
                yield WorkItem(unit, shard, kept, number > 0)

    @property
    def parts(self) -> tuple[SitePart, ...]:
        """What is kept of each unit."""
        return wanted_parts(self.options, self.model, self.tokens)

    @property
    def missing_bytes(self) -> int:
        """Bytes of activations still to be written."""
        items = self.work_items()
        return sum(
            each.nbytes for item in items for each in self.job.layouts(item.parts, item.labels)
        )

    @property
    def missing_bytes_of_all(self) -> int:
        """What these bytes would be if all tokens were kept."""
        found = 0
        for item in self.work_items():
            every = self.job.layouts(item.parts, replace(item.labels, kept=None))
            found += sum(each.nbytes for each in every)
        return found

    @property
    def memory_bytes(self) -> int:
        """About what the extraction takes on the device, or in memory on a CPU.

        Weights, the widest block, waiting rows.
        """
        if not self.missing:
            return 0
        geometry, item = self.model.geometry, ITEM_BYTES[self.options.dtype]
        rows = max(self._padded(unit) for unit, _ in self.missing)
        working = rows * (3 * geometry.d_mlp + 8 * geometry.d_model) * item
        logits = 2 * min(rows, LOSS_ROWS) * min(geometry.vocabulary, VOCABULARY_TILE) * 4
        parameters = self.model.weights_bytes  # as float32 on disk, the family's usual form
        return parameters * item // 4 + working + logits + QUEUE_BYTES

    def nearest(self) -> tuple[Run, list[str]] | None:
        """On a miss: the stored run that differs in the fewest fields.

        With it come those fields, each with both values.
        """
        return self.store.nearest(self.specification) if self.store and not self.run else None

    @cached_property
    def label_change(self) -> LabelChange | None:
        """What the columns of this input change in the labels of the run or its baseline.

        An input without columns, such as a .txt, leaves labels as they are; so does one without
        labels of tokens theirs.
        """
        given = self.given_labels
        if self.labelled is None or given == (None, None):
            return None
        return label_change(self.labelled, *given, self.tokens.columns_digest)

    @property
    def given_labels(self) -> tuple[Columns | None, Columns | None]:
        """Label columns of sentences and of tokens that this input has; None where it has none."""
        labels = self.tokens.labels
        return labels.columns or None, labels.token_columns or None

    @property
    def labelled(self) -> Run | None:
        """The stored run whose labels these sentences have: this one or its baseline."""
        return self.run or (self.baseline.run if self.baseline else None)

    def _padded(self, unit: Unit) -> int:
        sizes = self.tokens.labels.row_size[unit.first : unit.first + unit.sentences]
        return int(sizes.max()) * len(sizes)

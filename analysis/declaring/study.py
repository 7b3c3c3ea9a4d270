"""The base of a study: what it is called, what it reads, what it computes, what it shows.

The command, the keys of a study file, the section of the report and the reference are made from
this one object. A study has no state: everything comes in as arguments.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from actlas.analysis.declaring.options import Options
from actlas.analysis.declaring.shown import Caption, Check, Table
from actlas.store.errors import UsageError
from actlas.store.format.edit_records import EditRecord

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure

    from actlas.store.readouts.readout import Readout, ReadoutSource

O = TypeVar("O", bound=Options)  # noqa: E741
Edits = tuple[EditRecord, ...]  # of one variant
Charts = dict[str, dict[str, Any]]  # by what follows the result's name; "" for the main
Figures = dict[str, "tuple[Figure, Caption]"]  # by what follows the result's name; "" for the main


@dataclass(frozen=True)
class Subject:
    """A stored run as a study sees it, and the variants that are compared with it.

    dataset: lazy, with the sites that the study reads and the labels of the tokens. numerics:
    ``dtype``, ``stored_dtype``, ``mode`` of the run. law: of the residual stream of its model,
    ``add``, ``parallel`` or ``post`` (``laws``); empty where its record does not say. causal:
    whether a token of its model sees none that follow it. layers: of its model, of which the
    dataset may have fewer; None where its record does not say. readouts: where the readout of its
    model is looked for.
    """

    name: str
    dataset: xr.Dataset
    edits: Edits = ()
    numerics: Mapping[str, Any] = field(default_factory=dict)
    variants: tuple[Subject, ...] = ()
    law: str = ""
    causal: bool = True
    layers: int | None = None
    readouts: ReadoutSource | None = None

    @property
    def readout(self) -> Readout:
        """The readout of the model; raises UsageError where there is none."""
        if self.readouts is None:
            raise UsageError(f"run {self.name} has no readout of its model")
        return self.readouts.output()

    def token_text(self, token: int) -> str:
        """Return the characters of a token, counted along ``token``.

        A special token has none in the text: of it, the word of the vocabulary.
        """
        labels = self.dataset.isel(token=token)
        start, end = (int(labels[f"char_{edge}"]) for edge in ("start", "end"))
        if start == end and self.readouts and self.readouts.has("output"):
            return self.readout.words[int(labels["token_id"])]
        return str(labels["text"].values)[start:end]


@dataclass(frozen=True)
class PlannedRun:
    """What is known of a run before anything is computed: enough to refuse options.

    tokens: returns the labels of its tokens. edits: of each variant that is planned. law, causal:
    as in ``Subject``.
    """

    layers: int
    columns: tuple[str, ...]
    edits: tuple[Edits, ...]
    tokens: Callable[[], xr.Dataset]
    law: str = ""
    causal: bool = True


class Study(ABC, Generic[O]):
    """A study of a run, or of variants of a run. The docstring is the help of its command."""

    name: str  # the command, the stage of study files, the beginning of results' names
    help: str  # one line, for overviews
    heading: str  # of its section in the report: a question
    question: str  # below the heading: a sentence or two
    shown_in: ClassVar[str] = ""  # kind of the figure that shows the first finding
    options: type[O]
    needs: ClassVar[tuple[str, ...]] = ()  # sites that it cannot do without
    optional: ClassVar[tuple[str, ...]] = ()  # sites that it reads where all runs have them
    #: none; "named": the user names them; "found": those of the run with a ``variant_key``;
    #: "baseline": of a run with edits, the run without
    variants: ClassVar[Literal["none", "named", "found", "baseline"]] = "none"
    together: ClassVar[int] = 0  # variants computed in one pass, joined along ``variant``; 0: all
    numbers: ClassVar[tuple[str, ...]] = ()  # variables that --json prints
    examples: ClassVar[tuple[str, ...]] = ()  # command lines, for the help

    def check(self, options: O, planned: PlannedRun) -> None:
        """Raise UsageError for options that the model, the sentences or the edits do not allow."""

    def sites(self, options: O, stored: Sequence[str], run: str) -> tuple[str, ...]:
        """Return the sites to read; ``stored``: those that all runs have, ``run``: its name."""
        return (*self.needs, *(site for site in self.optional if site in stored))

    def variant_sites(self, sites: tuple[str, ...]) -> tuple[str, ...]:
        """Return which of the ``sites`` that the run is read for are read of its variants."""
        return sites

    def pages(self, subject: Subject, options: O) -> dict[str, bytes]:
        """Return pages beside the result, whole HTML files, by what follows the result's name."""
        return {}

    def notice(self, subject: Subject, options: O) -> str:
        """Return what is to be said before a long computation, empty for a short one.

        Raises UsageError for one that is too long to be begun unasked.
        """
        return ""

    def checked(self, options: O) -> bool:
        """Whether checksums are compared while reading."""
        return True

    def variant_key(self, edits: Edits) -> int | None:
        """Return what a variant with ``edits`` is sorted by, None for one that is not studied."""
        return None

    def recorded(self, options: O, sites: tuple[str, ...]) -> dict[str, Any]:
        """Return what the result says of the options: other values make it out of date.

        Law and causality of the run's model are recorded beside them.
        """
        return asdict(options)

    def words(self, options: O) -> str:
        """Return what the name of the result's file says of the options."""
        return ""

    @abstractmethod
    def compute(self, subject: Subject, options: O) -> xr.Dataset:
        """Return the result, lazy; what else is found goes to ``attrs``, as JSON has it."""

    @abstractmethod
    def tables(self, result: xr.Dataset) -> list[Table]:
        """Return the tables of a computed result; ``attrs`` hold options and what was found."""

    def overview(self, result: xr.Dataset, subject: Subject) -> list[Table]:
        """Return the tables that a terminal shows: the same, or fewer rows of them."""
        return self.tables(result)

    def figures(self, result: xr.Dataset, subject: Subject, options: O) -> Figures:
        """Return the figures of a computed result with their captions."""
        return {}

    def charts(self, result: xr.Dataset) -> Charts:
        """Return interactive figures, Vega-Lite specifications, by the kind of the figure.

        result: computed, with options and what was found in ``attrs``, as ``tables`` gets it. A
        page shows the figure of that kind where the chart cannot be drawn.
        """
        return {}

    def panel(self, axes: Axes, result: xr.Dataset, subject: Subject, options: O) -> None:
        """Draw what matters most of a computed result into the one panel ``axes``.

        Raises UsageError for a study that has none.
        """
        raise UsageError(
            f"study {self.name} has no single panel: figures() of its result draws all it has"
        )

    @abstractmethod
    def findings(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Return sentences with numbers of the computed result: what is to be learned from it.

        The first is the headline: what was found, with its number, unit, interval and layer, for a
        reader who knows the field and not this study. Reports begin with it.
        """

    def checks(self, result: xr.Dataset) -> list[Check]:
        """Return what the result bears out or not; the command exits with 1 where one fails."""
        return []

    def large(self, subject: Subject, options: O) -> dict[str, xr.DataArray]:
        """Return lazy arrays (…, …, row, column) too large for the result, a file each."""
        return {}

"""Where results go: ``<out>/<name>.nc`` with ``.png`` and ``.svg`` beside it.

``.pdf`` too where it is asked for. All of them are written, or none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actlas.analysis.declaring import Caption
from actlas.scripts.results.question import Question
from actlas.store.errors import ActlasError

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

DEFAULT_RESULTS = Path("actlas-results")
FORMS = ("svg", "pdf")  # of figures, beside PNG


@dataclass(frozen=True)
class Destination:
    """Where a result goes: folder and name.

    By default the folder is that of its run, and the name says what it is of.
    """

    folder: Path | None = None
    name: str | None = None
    pdf: bool = False  # whether figures are written as PDF too

    def of(self, question: Question) -> Path:
        """Return the path of the answer to ``question``."""
        return (
            self.folder or DEFAULT_RESULTS / question.runs[0].name
        ) / f"{self.name or question.name}.nc"


@dataclass(frozen=True)
class Output:
    """The files of one stage: its result, and what stands beside it."""

    result: Path
    figures: tuple[Path, ...] = ()
    more: tuple[Path, ...] = ()  # results too large to be part of the first

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files written."""
        return (self.result, *self.more, *self.figures)

    def __str__(self) -> str:
        """Say where they are."""
        lines = [f"result  {path}" for path in (self.result, *self.more)]
        lines += [f"figure  {path}" for path in self.figures if path.suffix == ".png"]
        pages = [path for path in self.figures if path.suffix == ".html"]
        others = [f".{form}" for form in FORMS if any(p.suffix == f".{form}" for p in self.figures)]
        lines += [f"        and the same as {' and '.join(others)}"] if others else []
        lines += [f"page    {path}" for path in pages]
        return "\n".join(lines)


class Answer:
    """A computed result and its figures, in memory until ``write``."""

    def __init__(
        self, question: Question, result: xr.Dataset, found: Mapping[str, Any] | None = None
    ) -> None:
        """Compute a lazy ``result`` once.

        found: what else is to be recorded beside the options, such as the sentences that were left
        out.
        """
        from threadpoolctl import threadpool_limits

        self.question, self._found = question, found or {}
        with threadpool_limits(1, user_api="blas"):  # dask runs a task on each core already
            self.result = self._described(question.stage, result.compute())
        self._captions: dict[str, tuple[str, str]] = {}  # by kind of figure
        self._figures: dict[str, bytes] = {}  # what follows the name → the file
        self._large: dict[str, tuple[xr.Dataset, str]] = {}

    def add_findings(self, findings: Sequence[str]) -> None:
        """Let the result say what was found, and what its figures show."""
        notes = {"findings": list(findings), "captions": self._captions}
        self.result = self.result.assign_attrs(
            {name: json.dumps(each) for name, each in notes.items()}
        )

    def draw(self, figure: Figure, kind: str, caption: Caption, *, pdf: bool = False) -> None:
        """Take ``figure`` along as PNG and SVG, to be named like the result.

        ``_kind`` is added to the name where it is not empty. pdf: as PDF too.
        """
        from actlas.analysis.plots import figure_files

        self._captions[kind] = (caption.title, caption.note)
        forms = ("png", *FORMS) if pdf else ("png", "svg")
        for form, content in figure_files(figure, forms).items():
            self._figures[f"{f'_{kind}' if kind else ''}.{form}"] = content

    def take_page(self, kind: str, content: bytes) -> None:
        """Take a whole HTML file along, to be written to ``<name>_kind.html``."""
        self._figures[f"_{kind}.html"] = content

    def take_large(self, kind: str, array: xr.DataArray) -> None:
        """Take a lazy ``array`` along, to be written block by block to ``<name>_kind.nc``.

        The whole is never held in memory.
        """
        stage = f"{self.question.stage}_{kind}"
        self._large[f"_{kind}.nc"] = (self._described(stage, array.to_dataset()), str(array.name))

    def write(self, out: Destination) -> Output:
        """Write all files, the result last.

        It has the checksums of the others. Older files of that name are replaced.

        Raises ActlasError, with the file, where one cannot be written; then the older ones are
        still there.
        """
        from actlas.analysis.results.files import add_result
        from actlas.analysis.results.large import add_large_result
        from actlas.store.io.replacing import replacing

        path, digest = out.of(self.question), self.question.digest
        named = {f"{path.stem}{ending}": content for ending, content in self._figures.items()}
        large = {f"{path.stem}{ending}": each for ending, each in self._large.items()}
        # a name that the user gave may be any question's; one of ours belongs to one question
        older = _older(path, None if out.name else digest)
        try:
            with replacing(path.parent) as files:
                beside = {
                    name: add_large_result(files, name, *each, digest)
                    for name, each in large.items()
                }
                beside |= {name: files.add(name, [content]) for name, content in named.items()}
                add_result(files, path.name, self.result, digest, beside)
            # figures that this version no longer draws would otherwise stay beside a newer result
            for name in older - set(beside):
                path.with_name(name).unlink(missing_ok=True)
        except OSError as error:
            place = error.filename or path
            raise ActlasError(
                f"cannot write {place}: {error.strerror or error} (choose another --out)"
            ) from error
        return Output(path, tuple(map(path.with_name, named)), tuple(map(path.with_name, large)))

    def _described(self, stage: str, result: xr.Dataset) -> xr.Dataset:
        from actlas.analysis.results.files import with_provenance

        runs, options = self.question.runs, {**self.question.all_options, **self._found}
        labels = " ".join(f"{run.labels_version}:{run.labels_digest}" for run in runs)
        described = with_provenance(
            result,
            stage=stage,
            runs=[run.id for run in runs],
            options=options,
            software=self.question.software,
        )
        return described.assign_attrs(labels=labels)


def _older(path: Path, question: str | None) -> set[str]:
    """Return the files that lie beside an older result.

    Raises ActlasError for one of another than ``question``.
    """
    from actlas.analysis.results.seals import DamagedResult, read_seal

    try:
        found = read_seal(path)
    except DamagedResult:  # none, or one that is replaced in any case
        return set()
    if question not in (None, found.question):  # two questions in 2³² have the same name
        raise ActlasError(f"{path} is the result of another question: give another --out")
    return set(found.files)

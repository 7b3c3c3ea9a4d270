"""The page that compares: the same studies of several folders side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from actlas.analysis.declaring import Table
from actlas.scripts.charts.embedding import Datasets
from actlas.scripts.reporting.figures import Drawing, drawings
from actlas.scripts.reporting.headlines import MOST, thumbnail
from actlas.scripts.reporting.page import SERIES, fill, store_of, write_page
from actlas.scripts.reporting.pairing import (
    Matched,
    Numbers,
    compare_numbers,
    match_results,
    option_table,
    unmatched,
)
from actlas.scripts.reporting.results import Folder, Result, naming_result, read_folder
from actlas.scripts.reporting.subjects import Subject, find_subjects
from actlas.scripts.reporting.verdicts import Verdict, verdict_line, verdicts_of
from actlas.store.errors import UsageError

MOST_FOLDERS = 6  # side by side


@dataclass(frozen=True)
class Column:
    """A result beside others: which folder it is of, and what it found."""

    label: str
    findings: tuple[str, ...]
    link: str  # to the result's file
    thumbnail: Markup | None  # of the figure that shows the first finding


@dataclass(frozen=True)
class Comparison:
    """A study of several folders on the page.

    figures: of each kind that two results have, the drawings by the label of their folder.
    """

    id: str
    stage: str
    name: str
    heading: str
    question: str
    columns: tuple[Column, ...]
    missing: tuple[str, ...]  # labels of folders without it
    figures: tuple[tuple[tuple[str, Drawing], ...], ...]
    options: Table | None
    numbers: Numbers


@dataclass(frozen=True)
class Compared:
    """A folder that is compared: its results, what they are of, and what is to be believed."""

    label: str
    folder: Folder
    subjects: list[Subject]
    verdicts: list[Verdict]
    link: str

    @property
    def line(self) -> str:
        """All its checks in a line."""
        return verdict_line(self.verdicts)


def write_comparison(
    paths: Sequence[Path], out: Path, store: Path | None = None, otherwise: str | None = None
) -> Path:
    """Write the page that compares the results in ``paths`` to ``out`` and return where it is.

    store, otherwise: as in ``write_report``. Raises UsageError for a folder that is given twice or
    has no results, too many of them, and folders that share no study.
    """
    if len(paths) > MOST_FOLDERS:
        raise UsageError(f"{len(paths)} folders, expected {MOST_FOLDERS} at most to compare")
    _refuse_twice(paths)
    folders = [read_folder(path) for path in paths]
    labels = _labels(paths)
    matched = match_results(folders, labels)
    compared = []
    for label, folder, path in zip(labels, folders, paths, strict=True):
        subjects, _ = find_subjects(folder, store_of(folder, store, otherwise))
        names = [""] * len(folder.results)
        verdicts = verdicts_of(folder, subjects, names)
        compared.append(Compared(label, folder, subjects, verdicts, _relative(path, out.parent)))
    sections, datasets = [], Datasets()
    for number, each in enumerate(matched):
        sections.append(_comparison(f"part-{number}", each, labels, out.parent, datasets))
    page = fill(
        "comparison.html",
        title=f"{' and '.join([', '.join(labels[:-1]), labels[-1]])} compared",
        compared=compared,
        sections=sections,
        found=_beginnings(sections),
        alone=unmatched(folders, labels, matched),
        series=SERIES,
        datasets=datasets.texts,
    )
    return write_page(page, out)


def _refuse_twice(paths: Sequence[Path]) -> None:
    seen: dict[Path, Path] = {}
    for path in paths:
        place = Path(os.path.realpath(path))
        if place in seen:
            raise UsageError(f"{path} is given twice: expected different folders to compare")
        seen[place] = path


def _labels(paths: Sequence[Path]) -> list[str]:
    """Return how the page calls each: the end of its path, as long as it has to be."""
    whole = [Path(os.path.realpath(path)) for path in paths]
    for count in range(1, max(len(path.parts) for path in whole) + 1):
        names = ["/".join(path.parts[-count:]) for path in whole]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in whole]


def _relative(path: Path, place: Path) -> str:
    return quote(os.fsencode(os.path.relpath(path, place)))


def _comparison(
    part: str, matched: Matched, labels: Sequence[str], place: Path, datasets: Datasets
) -> Comparison:
    pairs = list(zip(labels, matched.results, strict=True))
    drawn: dict[str, dict[str, Drawing]] = {}
    for number, (label, result) in enumerate(pairs):
        if result is not None:
            with naming_result(result):
                kinds = [kind for kind, _ in result.figures]
                figures = drawings(f"{part}-{number}", result, datasets)
                drawn[label] = dict(zip(kinds, figures, strict=False))
    shared = []
    for kind in dict.fromkeys(kind for figures in drawn.values() for kind in figures):
        beside = [(label, figures[kind]) for label, figures in drawn.items() if kind in figures]
        if len(beside) > 1:
            shared.append((kind, tuple(beside)))
    columns = []
    for number, (label, result) in enumerate(pairs):
        if result is not None:
            small = _thumbnail(result, f"{part}-{number}", dict(shared))
            link = _relative(result.seal.path, place)
            columns.append(Column(label, result.findings, link, small.get(label)))
    first = matched.present[0]
    with naming_result(first):
        numbers = compare_numbers(matched, labels)
    study = first.study
    return Comparison(
        part,
        first.stage,
        matched.name,
        study.heading if study else first.stage,
        study.question if study else "",
        tuple(columns),
        tuple(label for label, result in pairs if result is None),
        tuple(beside for _, beside in shared),
        option_table(matched, labels),
        numbers,
    )


def _thumbnail(
    result: Result, prefix: str, shared: Mapping[str, tuple[tuple[str, Drawing], ...]]
) -> dict[str, Markup | None]:
    """Return by label the small picture of the figure that shows the first finding.

    shared: the figures that are on the page, by kind; only these can be referred to.
    """
    if not shared:
        return {}
    wanted = result.study.shown_in if result.study else ""
    kind = wanted if wanted in shared else next(iter(shared))
    small = {}
    for label, drawing in shared[kind]:
        small[label] = drawing.small
        if drawing.picture is not None and drawing.small is None:
            small[label] = thumbnail(drawing.picture, f"{prefix}-{kind or 'figure'}")
    return small


def _beginnings(sections: Sequence[Comparison]) -> list[Comparison]:
    """Return the sections that the page begins with: the first of each study, six at most."""
    first = {section.stage: section for section in reversed(sections)}
    return [section for section in sections if section is first[section.stage]][:MOST]

"""The page: everything gathered, the template filled, one file written."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from actlas.analysis.declaring import Table
from actlas.analysis.declaring.group_tables import group_tables
from actlas.scripts.reporting.results import Folder, Result, naming_result, read_folder
from actlas.scripts.reporting.seal import seal_comment
from actlas.scripts.reporting.sentences import words_in_sentences
from actlas.scripts.reporting.subjects import find_subjects, outdated_labels, repeating, verdicts
from actlas.scripts.reporting.svg import inline_svg
from actlas.scripts.study.analysing import REPORT
from actlas.store.io.replacing import replacing

HERE = Path(__file__).parent
SERIES = ("target", "control", "third", "fourth", "fifth", "sixth")  # classes of groups


@dataclass(frozen=True)
class Drawing:
    """A figure on the page."""

    title: str
    note: str
    svg: Markup


@dataclass(frozen=True)
class Section:
    """An analysis on the page."""

    id: str
    result: Result
    heading: str
    question: str
    findings: tuple[str, ...]
    options: list[tuple[str, str]]
    figures: list[Drawing]
    tables: list[Table]
    histograms: dict[str, Any] | None
    files: list[tuple[str, str, int]]  # name, link, bytes
    outdated: str | None  # where its labels are not those of its runs any more


def write_report(path: Path, store: Path | None = None, otherwise: str | None = None) -> Path:
    """Write ``report.html`` into the folder of results ``path`` and return where it is.

    store: where the runs are; of a study's folder it is known, and of another it is ``otherwise``.
    Raises UsageError for a folder without results.
    """
    folder = read_folder(path)
    recorded = folder.record.get("store")
    known = store or (
        Path(os.path.normpath(path / recorded))
        if recorded
        else Path(otherwise)
        if otherwise
        else None
    )
    content = render(folder, known).encode("utf-8", "replace")  # names of files may be no Unicode
    with replacing(path) as files:
        files.add(REPORT, [content, seal_comment(content)])
    return path / REPORT


def render(folder: Folder, store: Path | None) -> str:
    """Return the page as HTML."""
    subjects, no_store = find_subjects(folder, store)
    runs = {subject.id: subject.run for subject in subjects if subject.run}
    variants = {key: run for subject in subjects for key, run in subject.variants.items()}
    script = (HERE / "page.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        title=folder.record.get("title") or f"Results in {folder.path.name}",
        study=folder.record.get("text"),
        study_name=folder.record.get("study"),
        subjects=subjects,
        no_store=no_store,
        verdicts=verdicts(folder, subjects),
        words=words_in_sentences(folder.results, runs),
        sections=[
            _section(f"part-{number}", result, folder, outdated_labels(result, runs | variants))
            for number, result in enumerate(folder.results)
        ],
        commands=repeating(folder, subjects, store),
        software=sorted({item for result in folder.results for item in result.software.items()}),
        series=SERIES,
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _section(section: str, result: Result, folder: Folder, outdated: str | None) -> Section:
    with naming_result(result):
        return _section_of(section, result, folder, outdated)


def _section_of(section: str, result: Result, folder: Folder, outdated: str | None) -> Section:
    study, figures = result.study, []
    for kind, path in result.figures:
        title, note = result.captions[kind].title, result.captions[kind].note
        svg = inline_svg(path, f"{section}-{kind or 'figure'}", title, note)
        figures.append(Drawing(title, note, svg))
    options = [
        (name, _shown(value))
        for name, value in result.options.items()
        if name not in ("left_out", "selection", "variants", "group_notes")
    ]
    files = [
        (file.name, quote(bytes(file.relative_to(folder.path))), file.stat().st_size)
        for file in result.files
    ]
    return Section(
        section,
        result,
        study.heading if study else result.stage,
        study.question if study else "",
        result.findings,
        options,
        figures,
        [*group_tables(result.data), *study.tables(result.described)] if study else [],
        study.slider(result.data) if study else None,
        files,
        outdated,
    )


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items()) or "none"
    return "not set" if value is None else str(value)

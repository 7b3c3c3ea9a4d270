"""The page: everything gathered, the template filled, one file written."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from actlas.analysis.declaring import Table
from actlas.analysis.declaring.group_tables import group_tables
from actlas.scripts.charts.embedding import Datasets, runtime, style
from actlas.scripts.reporting.figures import Drawing, drawings
from actlas.scripts.reporting.headlines import Candidate, pick_headlines
from actlas.scripts.reporting.results import Folder, Result, naming_result, option_text, read_folder
from actlas.scripts.reporting.seal import seal_comment
from actlas.scripts.reporting.sentences import marked_sentences
from actlas.scripts.reporting.subjects import find_subjects, outdated_labels, repeating
from actlas.scripts.reporting.verdicts import verdict_line, verdicts_of
from actlas.scripts.study.analysing import REPORT
from actlas.store.io.replacing import replacing

HERE = Path(__file__).parent
BEGINNING = re.compile(r"[a-z]+[ ,]")  # of a word, not of an edit or a formula
SERIES = ("target", "control", "third", "fourth", "fifth", "sixth")  # classes of groups


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
    pages: list[tuple[str, str]]  # name, link
    files: list[tuple[str, str, int]]  # name, link, bytes
    outdated: str | None  # where its labels are not those of its runs any more


def write_report(
    path: Path, store: Path | None = None, otherwise: str | None = None, out: Path | None = None
) -> Path:
    """Write the page of a folder of results, or of one result, and return where it is.

    out: the file, ``report.html`` in the folder where it is None, of one result its name with
    ``.html``. store: where the runs are; of a study's folder it is known, and of another it is
    ``otherwise``. Raises UsageError for what has no results.
    """
    folder = read_folder(path)
    out = out or (path / REPORT if path.is_dir() else path.with_suffix(".html"))
    return write_page(render(folder, store_of(folder, store, otherwise), out.parent), out)


def store_of(folder: Folder, store: Path | None, otherwise: str | None) -> Path | None:
    """Return where the runs of a folder are: ``store``, what a study recorded, or ``otherwise``."""
    recorded = folder.record.get("store")
    if store is None and recorded:
        return Path(os.path.normpath(folder.path / recorded))
    return store or (Path(otherwise) if otherwise else None)


def write_page(page: str, out: Path) -> Path:
    """Write a page, sealed, and return where."""
    content = page.encode("utf-8", "replace")  # names of files may be no Unicode
    with replacing(out.parent) as files:
        files.add(out.name, [content, seal_comment(content)])
    return out


def render(folder: Folder, store: Path | None, place: Path) -> str:
    """Return the page as HTML; it will lie in the folder ``place``."""
    subjects, no_store = find_subjects(folder, store)
    runs = {subject.id: subject.run for subject in subjects if subject.run}
    variants = {key: run for subject in subjects for key, run in subject.variants.items()}
    names = [f"part-{number}" for number in range(len(folder.results))]
    sections, datasets = [], Datasets()
    for name, result in zip(names, folder.results, strict=True):
        outdated = outdated_labels(result, runs | variants)
        sections.append(_section(name, result, place, outdated, datasets))
    verdicts = verdicts_of(folder, subjects, names)
    return fill(
        "page.html",
        title=folder.record.get("title") or f"Results in {folder.path.name}",
        study=folder.record.get("text"),
        study_name=folder.record.get("study"),
        subjects=subjects,
        no_store=no_store,
        found=pick_headlines([_candidate(section) for section in sections], verdicts),
        verdicts=verdicts,
        verdict_line=verdict_line(verdicts),
        words=marked_sentences(folder.results, runs),
        sections=sections,
        commands=repeating(folder, subjects, store),
        software=sorted({item for result in folder.results for item in result.software.items()}),
        series=SERIES,
        datasets=datasets.texts,
    )


def fill(template: str, *, datasets: Mapping[str, Markup], **content: Any) -> str:
    """Return a template of this room filled with ``content``, style and scripts within.

    datasets: of charts, by id; without any, what draws charts is left out.
    """
    own = Markup((HERE / "page.js").read_text(encoding="utf-8"))
    scripts = [*(runtime() if datasets else ()), own]
    digests = [hashlib.sha256(script.encode()).digest() for script in scripts]
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sentence"] = as_sentence
    return environment.get_template(template).render(
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")) + style(),
        scripts=scripts,
        digests=[base64.b64encode(digest).decode() for digest in digests],
        datasets=datasets,
        **content,
    )


def as_sentence(text: str) -> str:
    """Return a finding as a sentence: with a capital, unless it begins with a name, and a point."""
    begun = f"{text[0].upper()}{text[1:]}" if BEGINNING.match(text) else text
    return begun if begun[-1:] in (".", "!", "?", "") else f"{begun}."


def _candidate(section: Section) -> Candidate:
    """Return what a section offers to the beginning of the page."""
    result, drawn = section.result, [kind for kind, _ in section.result.figures]
    wanted = result.study.shown_in if result.study else ""
    offered = Candidate(section.id, result.stage, section.heading, section.findings)
    if not drawn:
        return offered
    place = drawn.index(wanted) if wanted in drawn else 0
    prefix = f"{section.id}-{drawn[place] or 'figure'}"
    drawing = section.figures[place]
    return replace(offered, prefix=prefix, svg=drawing.picture, small=drawing.small)


def _section(
    section: str, result: Result, place: Path, outdated: str | None, datasets: Datasets
) -> Section:
    with naming_result(result):
        return _section_of(section, result, place, outdated, datasets)


def _section_of(
    section: str, result: Result, place: Path, outdated: str | None, datasets: Datasets
) -> Section:
    study = result.study
    options = [
        (name, option_text(value))
        for name, value in result.options.items()
        if name not in ("left_out", "selection", "variants", "group_notes")
    ]
    files = [
        (file.name, quote(os.fsencode(os.path.relpath(file, place))), file.stat().st_size)
        for file in result.files
    ]
    return Section(
        section,
        result,
        study.heading if study else result.stage,
        study.question if study else "",
        result.findings,
        options,
        list(drawings(section, result, datasets)),
        [*group_tables(result.described), *study.tables(result.described)] if study else [],
        [(name, link) for name, link, _ in files if name.endswith(".html")],
        files,
        outdated,
    )

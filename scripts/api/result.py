"""What a study found, as a notebook has it: numbers, sentences, tables, figures."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from actlas.analysis.declaring import Options, Study, Subject, Table
from actlas.analysis.declaring.layers import parse_layers
from actlas.store.errors import UsageError
from actlas.store.format.parts import ranges

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from actlas.scripts.charts.notebook import Chart

PLACES = ("layer", "depth", "pair")  # dims that figures have as an axis
WHOLE = re.compile(r"-?[0-9]+")


@dataclass(frozen=True, repr=False)
class Result:
    """The answer of a study.

    dataset: the numbers, computed, with options and what was found in ``attrs``. findings: what is
    to be learned from them, in sentences.
    """

    study: Study[Any]
    options: Options
    subject: Subject
    dataset: xr.Dataset
    findings: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether all that the study checks is so; True where it checks nothing."""
        return all(check.holds for check in self.study.checks(self.dataset))

    def table(self) -> pd.DataFrame:
        """Return the table that a terminal shows, which may have fewer rows than there are."""
        return _frame(self.study.overview(self.dataset, self.subject)[0])

    def to_dataframe(self) -> pd.DataFrame:
        """Return the study's first table, all rows of it; its caption is in ``attrs``."""
        return self.tables()[0]

    def tables(self) -> list[pd.DataFrame]:
        """Return all tables of the study."""
        return [_frame(each) for each in self.study.tables(self.dataset)]

    def figures(self) -> dict[str, Figure]:
        """Return all figures by kind, those that the command writes; the main one is ``""``."""
        drawn = self.study.figures(self.dataset, self.subject, self.options)
        return {kind: figure for kind, (figure, _) in drawn.items()}

    def chart(self, kind: str = "") -> Chart:
        """Return an interactive figure, which a notebook shows; the main one by default.

        kind: as in ``figures``. Raises UsageError for one that there is not.
        """
        from actlas.scripts.charts.notebook import Chart

        found = self.study.charts(self.dataset)
        if kind not in found:
            known = ", ".join(map(repr, found)) or "none"
            raise UsageError(f"study {self.study.name} has no chart {kind!r}: expected {known}")
        return Chart(found[kind])

    def plot(
        self, ax: Axes | None = None, *, layers: int | str | Iterable[int] | None = None
    ) -> Axes:
        """Draw what matters most into one panel and return it.

        ax: the panel, a new one of pyplot where None. layers: those to draw, such as ``[0, 5]`` or
        ``"0-5,11"``; depths where the axis shows depths.
        Raises UsageError for layers that there are not, and for a study that has no single panel.
        """
        from matplotlib.text import Text

        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.subplots(layout="constrained")[1]
        chosen = self.dataset if layers is None else _chosen(self.dataset, layers)
        before = {id(text) for text in ax.findobj(Text)}
        self.study.panel(ax, chosen, self.subject, self.options)
        for text in ax.findobj(Text):
            if isinstance(text, Text) and id(text) not in before:
                text.set_parse_math(False)  # words come from the data
        return ax

    def __repr__(self) -> str:
        """Say what was found."""
        lines = [f"<Result of {self.study.name}, {self.subject.name}>", *self.findings]
        return "\n  ".join(lines)

    def _repr_html_(self) -> str:
        """Show findings, the table and the main figure in a notebook."""
        from actlas.analysis.plots import figure_files

        found = "".join(f"<li>{escape(each)}</li>" for each in self.findings)
        shown = self.study.overview(self.dataset, self.subject)[0]
        heading = f"{self.study.name}, {self.subject.name}"
        parts = [f"<strong>{escape(heading)}</strong><ul>{found}</ul>", _html(shown)]
        for figure in list(self.figures().values())[:1]:
            png = base64.b64encode(figure_files(figure)["png"]).decode()
            parts.append(f'<img style="max-width:100%" src="data:image/png;base64,{png}">')
        return f"<div>{''.join(parts)}</div>"


def _chosen(result: xr.Dataset, layers: int | str | Iterable[int]) -> xr.Dataset:
    """Return the result at some layers and depths."""
    dims = [dim for dim in PLACES if dim in result.dims and dim in result.coords]
    held = sorted({int(each) for dim in dims for each in result[dim].values})
    given = [layers] if isinstance(layers, int) else layers
    text = given if isinstance(given, str) else ranges([int(each) for each in given])
    try:
        wanted = parse_layers(text or "none", held)
    except UsageError as error:
        raise UsageError(f"layers {text!r}: expected some of {ranges(held)}") from error
    return result.sel({dim: [n for n in wanted if n in result[dim].values] for dim in dims})


def _frame(table: Table) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, Any] = {}
    for at, (name, numeric) in enumerate(zip(table.header, table.numeric, strict=True)):
        cells = [row[at] for row in table.rows]
        columns[name] = _numbers(cells) if numeric else [text for text, _ in cells]
    frame = pd.DataFrame(columns)
    frame.attrs["caption"] = table.caption
    return frame


def _numbers(cells: Sequence[tuple[str, float | str]]) -> list[int] | list[float]:
    """Return numbers; a dash, which sorts below all, is NaN."""
    if all(WHOLE.fullmatch(text) for text, _ in cells):
        return [int(text) for text, _ in cells]
    values = [float(value) for _, value in cells]
    return [math.nan if value == -math.inf else value for value in values]


def _html(table: Table) -> str:
    head = "".join(f"<th>{escape(each)}</th>" for each in table.header)
    rows = ""
    for row in table.rows:
        rows += f"<tr>{''.join(f'<td>{escape(text)}</td>' for text, _ in row)}</tr>"
    caption = f"<caption>{escape(table.caption)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

"""Draw the rooms of actlas: the four folders, what lies in each, and which may import which.

    python scripts/dev/rooms.py docs/images/rooms.svg

The words are those of each room's ``__init__.py``. A test compares the picture that is committed
with what this draws.
"""

from __future__ import annotations

import ast
import textwrap
from html import escape
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
#: folder → its place in the picture: column and row of the grid
FOLDERS = {"scripts": (0, 0), "pipeline": (1, 0), "analysis": (0, 1), "store": (1, 1)}
#: from, to: what may import what
ARROWS = (
    ("scripts", "pipeline"),
    ("scripts", "analysis"),
    ("pipeline", "store"),
    ("analysis", "store"),
)
WIDTH, GAP, LINE, MARGIN, COLUMNS = 470, 60, 17, 16, 68
STYLE = """
  text { font: 12px ui-sans-serif, system-ui, sans-serif; fill: #1f2328 }
  .folder { font-size: 16px; font-weight: 600 }
  .room { font-weight: 600 }
  rect { fill: #f6f8fa; stroke: #8c959f }
  path { stroke: #57606a; stroke-width: 1.5; fill: none; marker-end: url(#head) }
  #head path { fill: #57606a; marker-end: none }
"""


def rooms(folder: str) -> dict[str, str]:
    """Return the rooms of ``folder`` by name → the first line of what their ``__init__`` says."""
    found = {}
    for init in sorted((ROOT / folder).glob("*/__init__.py")):
        text = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
        found[init.parent.name] = text.partition("\n")[0]
    return found


def lines_of(folder: str) -> list[tuple[str, str]]:
    """Return the lines of the box of ``folder``: class, text."""
    note = "    (imports all three)" if folder == "scripts" else ""
    lines = [("folder", f"{folder}/{note}")]
    for name, text in rooms(folder).items():
        first, *more = textwrap.wrap(f"{name}/  {text}", COLUMNS, subsequent_indent=" " * 4)
        lines += [("room", first), *(("more", line) for line in more)]
    return lines


def picture() -> str:
    """Return the picture as SVG."""
    boxes = {folder: lines_of(folder) for folder in FOLDERS}
    heights = {folder: len(lines) * LINE + 2 * MARGIN for folder, lines in boxes.items()}
    # the second row begins below the higher box of the first
    tops = [0, max(heights["scripts"], heights["pipeline"]) + GAP]
    places = {f: (column * (WIDTH + GAP), tops[row]) for f, (column, row) in FOLDERS.items()}
    height = tops[1] + max(heights["analysis"], heights["store"])
    size = f"{2 * WIDTH + GAP + 2} {height + 2}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 {size}">',
        "<title>The rooms of actlas: each arrow says who may import whom</title>",
        f"<style>{STYLE}</style>",
        '<rect x="-1" y="-1" width="100%" height="100%" style="fill: #ffffff; stroke: none"/>',
        '<marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8"'
        ' orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker>',
    ]
    for folder, lines in boxes.items():
        parts += _box(*places[folder], heights[folder], lines)
    parts += [_arrow(places[a], heights[a], places[b]) for a, b in ARROWS]
    return "\n".join([*parts, "</svg>", ""])


def _box(x: int, y: int, height: int, lines: list[tuple[str, str]]) -> list[str]:
    """Return a box with its lines of text; the name of a room is set bold."""
    parts = [f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{height}" rx="6"/>']
    for number, (kind, text) in enumerate(lines):
        baseline = y + MARGIN + (number + 1) * LINE - 4
        left = x + MARGIN + (24 if kind == "more" else 0)
        name, gap, rest = text.partition("  ")
        if kind == "room":
            bold = f'<tspan class="room">{escape(name)}</tspan>'
            parts.append(f'<text x="{left}" y="{baseline}">{bold}{gap}{escape(rest)}</text>')
        else:
            shown = escape(text.strip())
            parts.append(f'<text class="{kind}" x="{left}" y="{baseline}">{shown}</text>')
    return parts


def _arrow(start: tuple[int, int], height: int, end: tuple[int, int]) -> str:
    """Return an arrow from one box to another, beside it or below it."""
    if start[1] == end[1]:
        y = start[1] + 2 * MARGIN
        return f'<path d="M{start[0] + WIDTH},{y} L{end[0] - 2},{y}"/>'
    x = start[0] + WIDTH // 2
    return f'<path d="M{x},{start[1] + height} L{x},{end[1] - 2}"/>'


@click.command()
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
def main(out: Path) -> None:
    """Write the picture to OUT."""
    out.write_text(picture(), encoding="utf-8")
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    main()

"""What commands print: one style of table, sizes with their units."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from actlas.scripts.terminal.streams import STEERING
from actlas.store.labels.special import special_of

if TYPE_CHECKING:
    from actlas.store.format.schema import Json
    from actlas.store.runs.run import Run

KILO = 1000
WIDTH = 80
NAME_WIDTH = 12  # of the first column where lines tell what was done


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return an aligned table; numbers to the right, text to the left."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    right = [all(_numeric(row[index]) for row in cells) for index in range(len(header))]
    lines = [header, *cells]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if flag else cell.ljust(width)
            for cell, width, flag in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _numeric(cell: str) -> bool:
    return cell[:1] in "0123456789-+" and cell[:1] != "" and not cell[1:2].isalpha()


def wrapped(name: str, text: str) -> str:
    """Return ``text`` beside ``name``, in as many lines as it takes.

    Names stand in the first column.
    """
    lines = textwrap.wrap(
        printable(text), WIDTH - NAME_WIDTH - 1, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(
        f"{printable(name) if not number else '':{NAME_WIDTH}} {line}"
        for number, line in enumerate(lines)
    )


def size(nbytes: float) -> str:
    """Return a number of bytes with its unit, decimal."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if nbytes < KILO or unit == "TB":
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= KILO
    raise AssertionError("unreachable")


def counted(number: int, noun: str) -> str:
    """Return a number of things, with the noun's plural where it is not one of them."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def extent(run: Run) -> str:
    """Return how much text a run is of."""
    return f"{counted(run.sentences, 'sentence')}, {counted(run.tokens, 'token')}"


def heads_text(model: Mapping[str, Any]) -> str:
    """Return the heads that a run's record gives its model, those of keys where they are fewer."""
    keys = model.get("kv_head", model["head"])
    grouped = f" ({keys} of keys and values)" if keys != model["head"] else ""
    return f"{model['head']} heads{grouped}"


def special_text(description: Json) -> str:
    """Return, to end a line of sentences, which special tokens stand around each, if any."""
    special = special_of(description)
    return f", {special}" if len(special) else ""


def printable(text: str) -> str:
    """Return ``text`` with a mark for each character that would steer a terminal or end the line.

    Stores come from anywhere.
    """
    return "".join(character if character.isprintable() else "�" for character in text)


def echo_json(record: dict[str, Any]) -> None:
    """Print one JSON object.

    What a terminal, or its encoding, would not take is escaped as JSON has it.
    """
    text = json.dumps(
        record, indent=2, ensure_ascii=not (sys.stdout.encoding or "").lower().startswith("utf")
    )
    click.echo(STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text))

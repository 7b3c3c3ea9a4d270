"""Inputs with columns for the demo model, from its own grammar.

    python -m actlas.scripts.dev.demo_inputs

``labelled.csv``: sentences with one "her", as object or as possessive, a number of each template.
``pairs.csv``: the beginnings of sentences up to a pronoun, twice each: once of a woman and once of
a man, alike in all other tokens. A test compares the files that are committed with what this makes.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from actlas.scripts.dev.demo_grammar import OBJECT_CLAUSES, POSSESSIVE_CLAUSES, slots
from actlas.scripts.dev.demo_words import MEN, WOMEN

TEXTS = Path(__file__).resolve().parents[2] / "pipeline" / "texts"
SEED = 0
OF_EACH = 4  # sentences of a template in labelled.csv
PAIRS = 60
ATTEMPTS = 1000  # for a sentence with one "her" alone: many templates have none
USES = {"object": OBJECT_CLAUSES, "possessive": POSSESSIVE_CLAUSES}
#: those in which nothing but the person decides the pronoun
PAIR_CLAUSES = OBJECT_CLAUSES[:14]
PRONOUN = "{a.object}"

Row = Sequence[object]


def labelled() -> Iterator[Row]:
    """Yield text, use and template of sentences with one "her"."""
    yield "text", "use", "template"
    rng = random.Random(SEED)
    for use, templates in USES.items():
        for number, template in enumerate(templates):
            for text in _with_one_her(rng, template):
                yield text, use, f"{use} {number}"


def _with_one_her(rng: random.Random, template: str) -> list[str]:
    """Return OF_EACH sentences of a template in which only the first person is a woman."""
    found: list[str] = []
    for _ in range(ATTEMPTS):
        woman, (b, c) = rng.choice(WOMEN), rng.sample(MEN, 2)
        text = template.format_map(slots(rng, woman, b, c))
        text = f"{text[0].upper()}{text[1:]}."
        if text.strip(".").split().count("her") == 1 and text not in found:
            found.append(text)
        if len(found) == OF_EACH:
            break
    return found


def pairs() -> Iterator[Row]:
    """Yield text, pair, the pronoun that follows and that of the other, and template."""
    yield "text", "pair", "answer", "wrong", "template"
    rng = random.Random(SEED)
    for pair in range(PAIRS):
        number = pair % len(PAIR_CLAUSES)
        start = PAIR_CLAUSES[number].partition(PRONOUN)[0].rstrip()
        woman, man, b, c = rng.choice(WOMEN), *rng.sample(MEN, 3)
        b = rng.choice((b, rng.choice([each for each in WOMEN if each is not woman])))
        words = slots(rng, woman, b, c)
        for person, other in ((woman, man), (man, woman)):
            text = start.format_map({**words, "a": person})
            answers = f" {person.object}", f" {other.object}"
            yield f"{text[0].upper()}{text[1:]}", pair, *answers, f"object {number}"


def table(rows: Iterator[Row]) -> str:
    """Return rows as CSV."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    return written.getvalue()


def files() -> dict[str, str]:
    """Return the content of each file by its name."""
    return {"labelled.csv": table(labelled()), "pairs.csv": table(pairs())}


@click.command()
def main() -> None:
    """Write the files beside the texts that come with actlas."""
    for name, content in files().items():
        (TEXTS / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()

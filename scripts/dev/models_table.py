"""The table of families in docs/models.md.

    python scripts/dev/models_table.py

writes it again between its two marks; a test holds that it is current.
"""

from __future__ import annotations

from pathlib import Path

import click

import actlas
from actlas.pipeline.models.family import Family
from actlas.pipeline.models.registry import FAMILIES
from actlas.pipeline.models.sites import SITES
from actlas.scripts.models.models import EXAMPLES

PAGE = Path(actlas.__file__).resolve().parents[1] / "docs/models.md"
START, END = "<!-- families: python scripts/dev/models_table.py -->\n", "<!-- end of families -->\n"
HEAD = ("`model_type`", "for instance", "law", "sites that it lacks", "sites that GPT-2 lacks")
FIRST = FAMILIES["gpt2"]


def table() -> str:
    """Return the table, a line a family."""
    lines = [HEAD, ("---",) * len(HEAD), *(_row(family) for family in FAMILIES.values())]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def written(page: str) -> str:
    """Return the page with the table between its marks."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{table()}\n{END}{after}"


def _row(family: Family) -> tuple[str, ...]:
    lacks = [site for site in FIRST.rows if site not in family.rows]
    more = [site for site in SITES if site in family.rows and site not in FIRST.rows]
    return (
        f"`{family.model_type}`",
        EXAMPLES[family.model_type],
        family.law,
        ", ".join(f"`{site}`" for site in lacks) or "–",
        ", ".join(f"`{site}`" for site in more) or "–",
    )


@click.command()
def main() -> None:
    """Write the table into docs/models.md."""
    PAGE.write_text(written(PAGE.read_text()))


if __name__ == "__main__":
    main()

"""What numbers of options may be: on the command line and in a study file, before anything is computed."""

from __future__ import annotations

import click

from actlas.store.errors import UsageError

LONGEST = 20  # digits of a number in a message

#: option → least and most
BOUNDS = {
    "bins": (1, 2_000),  # a figure of all blocks and layers has one point each
    "bootstrap": (0, 100_000),
    "context": (0, 1_000_000),
    "outliers": (0, 100_000),
    "seed": (0, 2**63 - 1),
    "unit_tokens": (1, 100_000_000),
    "workers": (1, 1_000),
}


def number(option: str) -> click.IntRange:
    """Return the type of an option of a command."""
    return click.IntRange(*BOUNDS[option])


def check_bounds(**numbers: int) -> None:
    """Raise UsageError for an option outside its bounds."""
    for option, value in numbers.items():
        least, most = BOUNDS[option]
        if not least <= value <= most:
            raise UsageError(f"{option} is {_short(value)}, expected {least} to {most:,}")


def _short(value: int) -> str:
    digits = str(value)
    return digits if len(digits) <= LONGEST else f"{digits[:LONGEST]}… ({len(digits)} digits)"

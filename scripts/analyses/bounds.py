"""What numbers of options may be, beside those of studies, before anything is computed."""

from __future__ import annotations

import click

from actlas.analysis.declaring import options

#: option → least and most
BOUNDS = {
    "context": (0, 1_000_000),
    "context_size": (1, 1_000_000),
    "seed": (0, 2**63 - 1),
    "stride": (1, 1_000_000),
    "unit_tokens": (1, 100_000_000),
    "window": (1, 1_000_000),
    "workers": (1, 1_000),
}


def number(option: str) -> click.IntRange:
    """Return the type of an option of a command."""
    return click.IntRange(*BOUNDS[option])


def check_bounds(**numbers: int) -> None:
    """Raise UsageError for an option outside its bounds."""
    for option, value in numbers.items():
        options.check_bounds(option, value, BOUNDS[option])

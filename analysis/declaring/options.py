"""Options of a study: a frozen dataclass whose fields carry help, bounds and choices.

The command line, study files and the reference page are made from these fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from actlas.store.errors import UsageError

LONGEST = 20  # digits of a number in a message
KEY = "option"  # of a field's metadata
#: headings of the help, which options are sorted by
WHICH, COMPARED = "Which tokens", "How they are compared"
COMPUTED, WRITTEN = "What is computed", "What is written"


@dataclass(frozen=True)
class OptionSpec:
    """What is known of an option beside its type and default."""

    help: str
    bounds: tuple[int, int] | None = None  # least and most of a whole number
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    flag: str | None = None  # on the command line, where it is not the field's name
    sites: bool = False  # whether the values are names of sites
    command_only: bool = False  # whether study files do not have it
    heading: str = COMPUTED  # in the help of the command


def option(
    default: Any = dataclasses.MISSING,
    *,
    help: str,  # noqa: A002  # click's own name for it
    bounds: tuple[int, int] | None = None,
    choices: Sequence[str] = (),
    metavar: str | None = None,
    flag: str | None = None,
    sites: bool = False,
    command_only: bool = False,
    heading: str = COMPUTED,
) -> Any:
    """Return a field of a dataclass of options; without a default it must be given.

    help: one or two sentences. bounds: least and most of a whole number. choices: of a text. flag:
    the name on the command line, such as ``--site``. sites: the values are names of sites.
    heading: of the help, below which it stands.
    """
    spec = OptionSpec(help, bounds, tuple(choices), metavar, flag, sites, command_only, heading)
    return dataclasses.field(default=default, metadata={KEY: spec})


@dataclass(frozen=True)
class Options:
    """Base of the options of a study; one without any uses it as it is."""

    #: options that mean nothing to the study → the reason, which is given to who uses them
    refused: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        """Raise UsageError for a value outside its bounds, that is no choice, or is refused."""
        for field, spec in specs(type(self)):
            value = getattr(self, field.name)
            if field.name in self.refused and value != field.default:
                raise UsageError(f"{field.name}: {self.refused[field.name]}")
            if spec.bounds is not None and value is not None:
                check_bounds(field.name, value, spec.bounds)
            if spec.choices and value not in spec.choices:
                raise UsageError(f"unknown choice {value!r}: expected {', '.join(spec.choices)}")


def specs(kind: type[Options]) -> Iterator[tuple[dataclasses.Field[Any], OptionSpec]]:
    """Yield the fields of a dataclass of options, in order, with what is known of each."""
    for field in dataclasses.fields(kind):
        yield field, field.metadata.get(KEY) or OptionSpec("")


def check_bounds(name: str, value: int, bounds: tuple[int, int]) -> None:
    """Raise UsageError for a number that is not within ``bounds``, both included."""
    least, most = bounds
    if not least <= value <= most:
        raise UsageError(f"{name} is {_short(value)}, expected {least} to {most:,}")


def _short(value: int) -> str:
    digits = str(value)
    return digits if len(digits) <= LONGEST else f"{digits[:LONGEST]}… ({len(digits)} digits)"

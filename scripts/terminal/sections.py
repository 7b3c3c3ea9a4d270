"""Help in sections: options below headings, then command lines that run.

They run after ``actlas demo``, in the folder where it was called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from actlas.analysis.declaring.options import COMPARED, COMPUTED, WHICH, WRITTEN

FEW = 5  # options that need no headings
PLAIN = "Options"
#: heading → parameters of commands that are no studies; a study says the headings of its own
HEADINGS: Mapping[str, tuple[str, ...]] = {
    "The model": (
        *("model", "revision", "device", "dtype", "attention", "unit_tokens", "train_mode"),
    ),
    "The sentences": (
        *("text_column", "rename", "drop", "skip_bad", "bos", "no_special"),
        *("window", "stride", "labels"),
    ),
    "Generated text": ("generate", "temperature", "seed"),
    "Interventions": ("edits",),
    WHICH: ("word", "case", "context"),
    COMPARED: (),
    COMPUTED: (),
    "What is kept": (
        *("sites", "layers", "depths", "tokens", "stored_dtype", "readout", "pack"),
        *("heads", "neurons"),
    ),
    WRITTEN: ("kind", "context_size"),
    "Which stages": ("only", "force"),
    "Where": ("store_path", "name", "out", "workers", "scheduler", "jobs"),
    "What is printed": ("listing", "dry_run", "cached_only", "quiet", "as_json", "help"),
}
ORDER = tuple(HEADINGS)


class SectionedOption(click.Option):
    """An option that knows its heading."""

    def __init__(self, *names: Any, heading: str, **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.heading = heading


class SectionedCommand(click.Command):
    """A command whose help has headings and examples.

    examples: whole command lines. headings: those of parameters that stand elsewhere than in
    ``HEADINGS``.
    """

    def __init__(
        self,
        *arguments: Any,
        examples: Sequence[str] = (),
        headings: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*arguments, **settings)
        self.examples = tuple(examples)
        self.headings = dict(headings or {})

    def heading(self, parameter: click.Parameter) -> str:
        """Return the heading of a parameter, that of plain options where none is known."""
        if isinstance(parameter, SectionedOption):
            return parameter.heading
        # click calls its own --help otherwise than it is written
        name = "help" if "--help" in parameter.opts else parameter.name or ""
        known = (heading for heading, names in HEADINGS.items() if name in names)
        return self.headings.get(name) or next(known, PLAIN)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each below its heading; few of them below one."""
        found: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            # the usage names the arguments, and the text above says what they are
            if record and isinstance(parameter, click.Option):
                found.setdefault(self.heading(parameter), []).append(record)
        if sum(map(len, found.values())) <= FEW:
            found = {PLAIN: [record for records in found.values() for record in records]}
        for heading in sorted(found, key=_place):
            with formatter.section(heading):
                formatter.write_dl(found[heading])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, in lines that can be copied, then what else there is to say."""
        if self.examples:
            with formatter.section("Example" if len(self.examples) == 1 else "Examples"):
                for line in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")
        super().format_epilog(ctx, formatter)


def _place(heading: str) -> int:
    """Return the place of a heading; others, such as a plugin's, stand before what is written."""
    return ORDER.index(heading if heading in ORDER else WRITTEN)

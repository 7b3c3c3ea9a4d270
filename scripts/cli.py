"""The root command: subcommands are imported when they are called.

``actlas --help`` answers in a blink.
"""

from __future__ import annotations

import importlib
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from actlas.analysis import registry
from actlas.scripts.terminal.failures import FAILURE, fail, failure, leave_output
from actlas.scripts.terminal.streams import flushed, use_visible_streams
from actlas.store.errors import ActlasError

STUDIES = "Studies of stored activations"
#: heading of the overview → its commands, each with its line; the module of that name holds it
SECTIONS: dict[str, dict[str, str]] = {
    "Models and activations": {
        "demo": "Run all five studies on the shipped model, under a minute.",
        "extract": "Run sentences through a model once and keep the activations.",
        "sweep": "Extract many variants of a run, one model load, edits from one text.",
        "models": "List the models that are read, and their sites.",
        "readout": "Store what turns activations into words: final norm, unembedding, vocabulary.",
    },
    STUDIES: {},  # those that are declared
    "Results and reports": {
        "study": "Check and run a study file: all of a study, brought up to date.",
        "report": "Write results as one page, with figures, tables and verdicts.",
        "table": "Write a run as a table of tokens or words: text, labels, losses.",
        "export": "Write a run, or part of it, to one file, or for other libraries.",
    },
    "The store": {
        "ls": "List the runs of a store.",
        "show": "Show what a run is and what it holds.",
        "relabel": "Give a stored run other labels, from the file of its sentences; no model.",
        "rename": "Give a run another name.",
        "rm": "Remove a run.",
        "verify": "Check every stored byte against its checksum.",
        "du": "Show what takes the room in a store.",
        "gc": "Sweep what killed commands left behind.",
        "pack": "Pack the many files of a run into few.",
        "index": "List a store's files for reading from a web server.",
    },
}
#: commands that are no studies
COMMANDS = tuple(name for lines in SECTIONS.values() for name in lines)
#: command → the room of its module, where that is not ``commands``
ROOMS = {"index": "exporting", "models": "models", "readout": "readouts", "table": "exporting"}


def overview() -> dict[str, dict[str, str]]:
    """Return the commands by heading, each with its line: studies say theirs, or what is wrong."""
    studies = {}
    declared = registry.names()
    for name in (*registry.BUILT_IN, *(each for each in declared if each not in registry.BUILT_IN)):
        try:
            study = registry.find(name)
            studies[name] = study.help if study else ""
        except ActlasError as error:
            studies[name] = f"not available: {error}"
    kept = {name: line for name, line in studies.items() if name not in COMMANDS}
    return {heading: lines or kept for heading, lines in SECTIONS.items()}


def load(name: str) -> click.Command | None:
    """Import and return a command, None for a name that is none's."""
    if name in COMMANDS:
        room = ROOMS.get(name, "commands")
        command: click.Command = importlib.import_module(f"actlas.scripts.{room}.{name}").command
        return command
    study = registry.find(name)
    if study is None:
        return None
    from actlas.scripts.analyses.command import command_of

    return command_of(study)


class Root(click.Group):
    """Lazy subcommands, and one line for every failure that the user can repair."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands by name."""
        return sorted({*COMMANDS, *registry.names()})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and return a command."""
        command = load(name)
        if command is None and not ctx.resilient_parsing:
            import difflib

            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            if near:
                ctx.fail(f"No such command {name!r}. Did you mean {near[0]!r}?")
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer commands, from the overview, and options."""
        lines = {name: line for section in overview().values() for name, line in section.items()}
        commands = [
            CompletionItem(name, help=line)
            for name, line in sorted(lines.items())
            if name.startswith(incomplete)
        ]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview; of commands it imports studies alone, which are light."""
        sections = overview()
        first = max(len(name) for lines in sections.values() for name in lines)
        for heading, lines in sections.items():
            with formatter.section(heading):
                padded = [(name.ljust(first), line) for name, line in lines.items()]
                formatter.write_dl(padded)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run; exit with 2 for wrong usage, 1 for failure, 130 when interrupted.

        Each of these says why in one line on stderr.
        """
        extra["standalone_mode"] = False
        if threading.current_thread() is threading.main_thread():  # no other may say
            # a batch system's way to say Ctrl-C
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        use_visible_streams()
        try:
            code = super().main(args, *rest, **extra)
        except BrokenPipeError as error:
            leave_output(error)
        except (Exception, KeyboardInterrupt) as error:
            reported = failure(error)
            # a bug: the traceback is what helps
            if reported is None:
                raise
            if isinstance(error, click.Abort | KeyboardInterrupt):
                # Python keeps an interrupt inside the exec of an import, and would die by SIGINT
                exec("")
            fail(*reported)
        # a full disk behind a redirected output shows when the last buffer is written
        if full := flushed():
            fail(f"standard output: {full.strerror}", FAILURE)
        sys.exit(code if isinstance(code, int) else 0)


@click.group(
    cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="actlas")
def main() -> None:
    """actlas: an atlas of activations.

    Run sentences through a GPT-2-family model once, keep the activations of every layer, study them
    offline.

    Start with `actlas demo`.
    """

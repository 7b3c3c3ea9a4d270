"""What the Tab key offers beside commands and options.

Runs of the store, sites, sentence files. Never fails, says nothing.
"""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from actlas.store.format.schema import EXPORT_SUFFIXES


def complete_run(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the names of the runs of the store that --store or ACTLAS_STORE says, and exports.

    Ids once a digit is there.
    """
    store = (
        context.params.get("store_path")
        or context.lookup_default("store_path")
        or _store_default(context)
    )
    names = _listed(Path(str(store)) / "names", incomplete)
    if not names and incomplete:
        names = _listed(Path(str(store)) / "runs", incomplete)
    taken = context.params.get(parameter.name or "") or ()  # of several variants
    offered = [CompletionItem(name) for name in names if name not in taken]
    here = Path(incomplete).parent
    exports = [
        path for path in _listed(here, Path(incomplete).name) if path.endswith(EXPORT_SUFFIXES)
    ]
    return offered + [CompletionItem(str(here / path)) for path in exports]


def complete_site(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the sites, and what is known of them."""
    from actlas.pipeline.models.sites import SITES

    return [CompletionItem(name) for name in SITES if name.startswith(incomplete)]


def complete_sentences(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Leave it to the shell: a file."""
    return [CompletionItem(incomplete, type="file")]


def _store_default(context: click.Context) -> str:
    """Return the store where the option comes after the cursor, or was not given."""
    option = next(
        (parameter for parameter in context.command.params if parameter.name == "store_path"), None
    )
    found = option.get_default(context) if option else None
    given = option.value_from_envvar(context) if option else None
    return str(given or found or "actlas-store")


def _listed(folder: Path, beginning: str) -> list[str]:
    try:
        return sorted(
            path.name
            for path in folder.iterdir()
            if path.name.startswith(beginning) and path.name[0] != "."
        )
    except OSError:
        return []

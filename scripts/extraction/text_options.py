"""Options of an extraction that say how its texts are cut, and which labels their tokens have."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from actlas.scripts.analyses.bounds import number

F = TypeVar("F", bound=Callable[..., Any])

labels_option = click.option(
    "--labels",
    metavar="FILE.csv",
    help="Labels of tokens, as spans of characters: columns sentence, char_start, char_end, and "
    "one for each label.",
)


def text_options(function: F) -> F:
    """Give a command windows and labels of tokens; it receives ``windows`` and ``labels``."""

    @click.option(
        "--window",
        type=number("window"),
        metavar="N",
        help="Cut texts into windows of N tokens, special ones counted; each is a sentence.",
    )
    @click.option(
        "--stride",
        type=number("stride"),
        metavar="M",
        help="Tokens from the start of a window to that of the next.  [default: no overlap]",
    )
    @labels_option
    @wraps(function)
    def command(*args: Any, window: int | None, stride: int | None, **options: Any) -> Any:
        from actlas.pipeline.inputs.windows import chosen_windows

        return function(*args, windows=chosen_windows(window, stride), **options)

    return command  # type: ignore[return-value]

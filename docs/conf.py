"""Sphinx: the pages of this folder, the commands' help and the docstrings. ``sphinx-build -W docs docs/_build``."""

import re
from importlib import metadata
from typing import Any

project = "actlas"
author = "The actlas developers"
copyright = "the actlas developers, Apache-2.0"  # noqa: A001  # Sphinx's own name for it
release = metadata.version("actlas")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click"]
html_theme = "furo"
highlight_language = "none"
html_title = f"actlas {release}"
exclude_patterns = ["_build", "examples"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"

LITERAL = re.compile(r"(``.+?``|`[^`]+`_?)")
MARKUP = re.compile(r"([|*]|(?<=\w)_\b(?=\W|$))")  # what reStructuredText would take for markup


def plain(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Escape signs of the field, such as |error| and ‖h[d] − h[d−1]‖ * 2, outside literals."""
    for number, line in enumerate(lines):
        parts = LITERAL.split(line)
        lines[number] = "".join(
            part if part.startswith("`") else MARKUP.sub(r"\\\1", part) for part in parts
        )


def plain_help(app: Any, context: Any, lines: list[str]) -> None:
    """Escape bars in the help of commands."""
    lines[:] = [line if line.startswith("..") else line.replace("|", r"\|") for line in lines]


def setup(app: Any) -> None:
    """Connect the above."""
    app.connect("autodoc-process-docstring", plain)
    for part in ("description", "options", "arguments"):
        app.connect(f"sphinx-click-process-{part}", plain_help)

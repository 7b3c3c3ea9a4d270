"""Sphinx: the pages of this folder, the help of the commands and the docstrings.

``sphinx-build -W docs docs/_build`` makes the site.
"""

import re
from importlib import metadata
from typing import Any, get_type_hints

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from actlas.analysis import registry
from actlas.analysis.declaring.options import specs
from actlas.scripts.study.tables import meaning
from actlas.scripts.study.template import example

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


class Studies(SphinxDirective):
    """Every study with the keys of its table in a study file, from its declaration."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each study."""
        lines = []
        for name in registry.names():
            study = registry.find(name)
            if study is None:
                continue
            sites = ", ".join(f"``{site}``" for site in study.needs) or "those it is asked for"
            lines += [f"**{name}**: {study.help} Sites: {sites}.", ""]
            if not any(not spec.command_only for _, spec in specs(study.options)):
                lines += ["It has no keys of its own.", ""]
                continue
            lines += [".. list-table::", "   :header-rows: 1", "", "   * - key", "     - value"]
            lines += ["     - meaning"]
            hints = get_type_hints(study.options)
            for field, spec in specs(study.options):
                if not spec.command_only and field.name not in study.options.refused:
                    default = example(field, spec, hints[field.name])
                    value = " or ".join(spec.choices) or meaning(hints[field.name])
                    lines += [f"   * - ``{field.name} = {default}``", f"     - {value}"]
                    lines += [f"     - {spec.help.partition('  [')[0].replace('|', chr(92) + '|')}"]
            lines += ["", ""]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Any) -> None:
    """Connect the above."""
    app.add_directive("studies", Studies)
    app.connect("autodoc-process-docstring", plain)
    for part in ("description", "options", "arguments"):
        app.connect(f"sphinx-click-process-{part}", plain_help)

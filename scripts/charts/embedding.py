"""Specifications as JSON inside a page, with the data that several charts share kept once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from actlas.analysis.charts import Records
from actlas.store.errors import ActlasError

HERE = Path(__file__).parent
#: what could end a script element, or begin a comment in it, as JSON may write it
ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
RUNTIME = "vega.min.js"


@dataclass
class Datasets:
    """The data of all charts of a page, each once."""

    texts: dict[str, Markup] = field(default_factory=dict)  # id → JSON

    def embed(self, spec: Mapping[str, Any]) -> Markup:
        """Return a specification as JSON whose datasets are ids of ``texts``, and add these.

        Raises ActlasError for what is no specification.
        """
        if not isinstance(spec, Mapping):
            raise ActlasError(f"a chart is {type(spec).__name__}, expected a Vega-Lite dictionary")
        named = {name: self._add(rows) for name, rows in dict(spec.get("datasets", {})).items()}
        return as_json({**spec, "datasets": named, "config": {}})

    def _add(self, rows: Any) -> str:
        text = as_json(rows.packed if isinstance(rows, Records) else rows)
        name = f"data-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:16]}"
        self.texts[name] = text
        return name


def as_json(content: object) -> Markup:
    """Return JSON that can stand in a script element. Raises ActlasError where it has no JSON."""
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ActlasError(f"a chart has what JSON has not: {error}") from error
    for letter, escape in ESCAPED.items():
        text = text.replace(letter, escape)
    return Markup(text)  # nothing that HTML knows is left


@cache
def script(name: str) -> Markup:
    """Return one of this folder's files, as it stands in a page."""
    return Markup((HERE / name).read_text(encoding="utf-8"))


def runtime() -> tuple[Markup, Markup]:
    """Return the scripts that draw charts: Vega, and what gives it a page's specifications."""
    return script(RUNTIME), script("charts.js")


def style() -> Markup:
    """Return the style of charts."""
    return script("charts.css")

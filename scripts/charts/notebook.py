"""A chart in a notebook: the specification, drawn by the script of the report, offline."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from markupsafe import Markup

from actlas.scripts.charts.embedding import Datasets, runtime, script, style

HEIGHT = 480  # pixels, in which a taller chart scrolls
PAGE = "charts.html"


@dataclass(frozen=True, repr=False)
class Chart:
    """An interactive figure; a notebook shows it where it is the last line of a cell.

    spec: the Vega-Lite specification: ``altair.Chart.from_dict(chart.spec)`` makes it Altair's.
    """

    spec: Mapping[str, Any]

    def to_html(self) -> str:
        """Return a page that needs nothing else: no network, no library."""
        page = Datasets()
        chart, scripts = page.embed(self.spec), runtime()
        digests = [hashlib.sha256(script.encode()).digest() for script in scripts]
        policy = " ".join(f"'sha256-{base64.b64encode(each).decode()}'" for each in digests)
        rows = '<script type="application/json" id="{}">{}</script>'
        data = Markup("\n").join(Markup(rows).format(*each) for each in page.texts.items())
        drawn = Markup("\n").join(Markup("<script>{}</script>").format(each) for each in scripts)
        content = {"title": str(self.spec.get("description", "")), "chart": chart, "data": data}
        made = script(PAGE).format(**content, policy=Markup(policy), style=style(), scripts=drawn)
        return str(made)

    def __repr__(self) -> str:
        """Say what it shows."""
        return f"<Chart: {self.spec.get('description', '')}>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Return it as a frame of its own, so that it leaves the notebook's page as it is."""
        frame = (
            f'<iframe title="Chart" sandbox="allow-scripts" srcdoc="{escape(self.to_html())}" '
            f'style="width:100%;height:{HEIGHT}px;border:0"></iframe>'
        )
        return {"text/html": frame, "text/plain": repr(self)}

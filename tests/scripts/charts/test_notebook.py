"""A chart in a notebook: a page of its own, which needs nothing else."""

import base64
import hashlib
import html
import json
import re
from types import SimpleNamespace

import altair as alt
import pytest

from actlas.analysis import registry
from actlas.scripts.api.result import Result
from actlas.scripts.bench.common.results import synthetic_result
from actlas.store.errors import UsageError


@pytest.fixture
def result():
    subject = SimpleNamespace(name="it")
    return Result(registry.find("scan"), None, subject, synthetic_result("scan"), ("found",))


def test_it_is_a_page_whose_scripts_are_named(result):
    chart = result.chart()
    page = chart.to_html()
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = [
        base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts
    ]
    assert re.findall(r"'sha256-([^']+)'", page[:2000]) == digests
    assert len(digests) == 2
    (spec,) = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    (name,) = json.loads(spec)["datasets"].values()
    assert f'id="{name}"' in page
    shown = chart._repr_mimebundle_()
    assert html.escape(page) in shown["text/html"]
    assert shown["text/plain"] == repr(chart) == f"<Chart: {chart.spec['description']}>"


def test_altair_takes_it_on(result):
    assert alt.Chart.from_dict(json.loads(json.dumps(result.chart().spec)), validate=True)


def test_a_chart_that_there_is_not_is_refused(result):
    with pytest.raises(UsageError, match="study scan has no chart 'no': expected ''"):
        result.chart("no")

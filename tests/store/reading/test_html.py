"""What a notebook shows of a run: all that it holds, and nothing of it as markup."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from actlas.store import Store
from actlas.store.runs.run import Run

GOLDEN = Path(__file__).parents[2] / "golden"


class Cells(HTMLParser):
    """Collects the tags and the texts of cells."""

    def __init__(self):
        super().__init__()
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def shown(run):
    cells = Cells()
    cells.feed(run._repr_html_())
    return cells


@pytest.mark.parametrize("folder", sorted(path.name for path in GOLDEN.glob("version-*")))
def test_all_that_a_run_holds_is_shown(folder):
    for run in Store(GOLDEN / folder).runs():
        cells = shown(run)
        assert {run.id, f"actlas run {run.name}", *run.sites} <= set(cells.texts)
        assert cells.texts.count(str(len(run.units))) >= len(run.sites)
        edits = [edit.text for edit in run.edits]
        assert set(edits) <= set(cells.texts)
        assert ("baseline" in cells.texts) == bool(edits)


def test_nothing_of_a_store_is_markup():
    (run,) = Store(GOLDEN / "version-1-float32").runs()
    before = shown(run).tags
    bad = "<script>alert(1)</script>&amp;"
    run.names, run.description = (bad,), {**run.description, "model": {"name": bad, "layer": bad}}
    run.specification = {**run.specification, "edits": [], "numerics": {"dtype": bad}}
    run.refresh()
    cells = shown(run)
    assert cells.tags == before
    assert f"actlas run {bad}" in cells.texts


def test_a_run_that_does_not_describe_itself_is_shown():
    (run,) = Store(GOLDEN / "version-1-float32").runs()
    run.description = {"model": "none"}
    assert "?" in shown(run).texts


def test_a_run_without_anything_yet(tmp_path, monkeypatch):
    (run,) = Store(GOLDEN / "version-1-float32").runs()
    monkeypatch.setattr(Run, "records", ())
    assert run.id in shown(run).texts


def test_heads_of_keys_are_shown_where_they_are_fewer():
    (run,) = Store(GOLDEN / "version-1-float32").runs()
    sizes = {"name": "it", "layer": 4, "head": 8}
    for kv_head, text in ((8, "8 heads"), (2, "8 heads, 2 of keys and values")):
        run.description = {"model": {**sizes, "kv_head": kv_head}}
        assert f"it: 4 blocks, {text}" in shown(run).texts

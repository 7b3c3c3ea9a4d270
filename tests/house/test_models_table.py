"""The table of families in the docs is that of the families there are."""

from actlas.scripts.dev.models_table import PAGE, written


def test_the_table_is_current():
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page), "run `python scripts/dev/models_table.py`"

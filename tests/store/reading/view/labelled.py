"""Content with label columns of one's own."""

from dataclasses import replace

from tests.store.making import Content

SITES = {"resid": "float32", "q": "float32", "nll": "float32"}


KINDS = ["x", "y", "x", "", "y", "a long kind of sentence"]


def labelled(columns, **options) -> Content:
    """Return content with ``columns`` of its own."""
    content = Content(dtypes=SITES, **options)
    content.__dict__["labels"] = replace(content.labels, columns=columns)
    return content

"""Edits for the NumPy oracle: what each does to a value, worked out from the edit alone."""

import numpy as np

from actlas.pipeline.edits.apply import generator
from actlas.pipeline.edits.spec import parse_edit
from actlas.store.format.edit_records import Stride


def changing(edits, token_ids):
    """Return the oracle's ``change`` for ``edits`` of one sentence.

    Worked out from the text alone.
    """
    parsed = [parse_edit(text) for text in edits]

    def change(site, index, value, source):
        for edit in parsed:
            if (edit.target.site, edit.target.index) != (site, index):
                continue
            if edit.kind == "skip":
                return source
            heads = value if value.ndim == 3 else value[:, None]  # (token, head, element)
            which = (
                slice(None)
                if edit.target.head is None
                else slice(edit.target.head, edit.target.head + 1)
            )
            part = heads[:, which][..., chosen(edit.target.elements)]
            new = heads.copy()
            if edit.kind == "noise":
                drawn = generator(edit, token_ids.tolist()).standard_normal(
                    (len(token_ids), part[0].size), np.float32
                )
                replaced = (edit.mean + edit.std * drawn).reshape(part.shape)
            else:
                replaced = part * (edit.factor if edit.kind == "scale" else 0)
            view = new[:, which]
            view[..., chosen(edit.target.elements)] = replaced
            value = new.reshape(value.shape)
        return value

    return change


def chosen(elements):
    if elements is None:
        return slice(None)
    return elements.slice if isinstance(elements, Stride) else list(elements)

"""The attention of one sentence as a page: maps of all heads, and the text, token by token.

One file that loads nothing from anywhere: weights as bytes, tokens as JSON, a script of a screen.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np

from actlas.analysis.declaring.study import Subject
from actlas.store.errors import UsageError

TEMPLATE = Path(__file__).with_name("page.html")
MOST_BYTES = 32 << 20  # of weights, one each: all heads of GPT-2 XL at 160 tokens
LEVELS = 255  # a weight is stored in steps of 1/255


def attention_page(subject: Subject, sentence: int) -> bytes:
    """Return the page of a sentence, HTML.

    subject: with ``pattern``. Raises UsageError for a sentence that there is not, or one with too
    many weights for a page.
    """
    dataset = subject.dataset
    places = np.flatnonzero(dataset["sentence"].values == sentence)
    if not len(places):
        last = int(dataset["sentence"].values.max())
        raise UsageError(f"run {subject.name} has no sentence {sentence}: expected 0 to {last}")
    layers, heads, count = (
        *(dataset.sizes[dim] for dim in ("layer", "head")),
        len(places),
    )
    if layers * heads * count**2 > MOST_BYTES:
        raise UsageError(
            f"sentence {sentence} has {count} tokens, {layers * heads * count**2:,} weights in all "
            f"heads, expected {MOST_BYTES:,} at most for a page: choose a shorter one"
        )
    weights = dataset["pattern"].isel(token=places, key=slice(0, count))
    ordered = weights.transpose("layer", "head", "token", "key").values
    steps = np.rint(np.clip(ordered, 0, 1) * LEVELS).astype(np.uint8)
    content = {
        "run": subject.name,
        "sentence": sentence,
        "tokens": [subject.token_text(int(place)) for place in places],
        "layers": layers,
        "heads": heads,
        "weights": base64.b64encode(steps.tobytes()).decode(),
    }
    # in a script element, so that no token can end it
    data = (
        json.dumps(content).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    )
    return TEMPLATE.read_text(encoding="utf-8").replace("DATA", data, 1).encode()

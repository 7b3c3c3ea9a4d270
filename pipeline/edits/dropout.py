"""Dropout, for showing what it does.

Drawn from a seed and the sentence, so that a run in train mode can be made again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from actlas.pipeline.models.family import Model


@contextmanager
def dropout_drawn(model: Model, seed: int | None, sentence: int) -> Iterator[None]:
    """Draw what is random inside from ``seed`` and the number of the ``sentence`` alone.

    Do nothing where ``seed`` is None.

    The caller's own random numbers go on afterwards as if nothing had been drawn.
    """
    if seed is None:
        yield
        return
    import torch

    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(
            int(np.random.SeedSequence((seed, sentence)).generate_state(1, np.uint64)[0] >> 1)
        )
        yield

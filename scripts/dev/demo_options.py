"""What the demo model is made of."""

from __future__ import annotations

from dataclasses import dataclass

TOKENIZER_SENTENCES = 20_000


@dataclass(frozen=True)
class TrainingOptions:
    """What the demo model is made of; the defaults make the shipped one."""

    steps: int = 1500  # optimiser steps
    seed: int = 0  # of the training text and of the initial weights
    heldout_seed: int = 1_000_003  # of the text the loss is measured on
    heldout_sentences: int = 2000
    vocabulary: int = 1300  # upper bound: byte pair merging ends when every word is one token
    blocks: int = 8
    width: int = 96
    heads: int = 6
    positions: int = 256
    tokens_per_step: int = 32 * 64
    # in turn; the long rows teach the positions past 64
    row_lengths: tuple[int, ...] = (*7 * (64,), 256)
    learning_rate: float = 3e-3  # after warming up
    warmup: int = 100  # steps; a cosine to a hundredth follows
    weight_decay: float = 0.1  # on matrices
    # on position embeddings: kept small, a word is one vector wherever it stands
    position_decay: float = 20.0
    threads: int = 2

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}, at least 1 is wanted")
        if self.seed == self.heldout_seed:
            raise ValueError(f"seed {self.seed} is the seed of the held-out text; choose another")
        if too_long := [length for length in self.row_lengths if not 1 < length <= self.positions]:
            raise ValueError(f"row lengths {too_long} are not in 2 .. {self.positions} positions")

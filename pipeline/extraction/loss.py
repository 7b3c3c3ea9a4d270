"""The loss of each token: a running log-sum-exp over tiles of the vocabulary.

No row of logits ever exists as a whole: memory is that of LOSS_ROWS × VOCABULARY_TILE, whatever the
vocabulary, and a tile of the unembedding is read once for all its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from actlas.pipeline.extraction.transfer import real_rows

if TYPE_CHECKING:
    import torch

    from actlas.pipeline.models.family import Family, Model

LOSS_ROWS = 2048  # tokens whose logits exist at a time …
VOCABULARY_TILE = 2048  # … of so many words


def token_loss(
    family: Family,
    model: Model,
    final_norm: torch.Tensor,
    token_ids: torch.Tensor,
    lengths: Sequence[int],
) -> torch.Tensor:
    """Return −log p(token | before) in nats, float32 (sentence, position).

    NaN at position 0 and in the padding.

    final_norm: (sentence, position, d_model), of right-padded ``token_ids`` (sentence, position).
    """
    import torch

    before = [length - 1 for length in lengths]
    predicting = real_rows(final_norm[:, :-1], before)  # (token, d_model)
    targets = real_rows(token_ids[:, 1:], before)  # (token,)
    losses = [
        _loss_of_rows(family, model, rows, ids)
        for rows, ids in zip(predicting.split(LOSS_ROWS), targets.split(LOSS_ROWS), strict=True)
    ]
    result = torch.full(token_ids.shape, torch.nan, dtype=torch.float32, device=token_ids.device)
    columns = torch.arange(token_ids.shape[1], device=token_ids.device)
    # (sentence, position)
    known = (columns > 0) & (columns < torch.tensor(lengths, device=token_ids.device)[:, None])
    result[known] = torch.cat(losses)
    return result


def _loss_of_rows(
    family: Family, model: Model, rows: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Return log Σ exp(logits) − logit of the target, float32 (token,).

    Sums are of exp(logit − largest so far), so that none overflows. As of a whole softmax, a row
    with a logit of NaN or ∞ has a loss of NaN, and a word of −∞ is one that cannot come.
    """
    import torch

    vocabulary = family.vocabulary(model)
    # the least number, not −∞: a tile of −∞ alone would be NaN
    largest = rows.new_full(rows.shape[:1], torch.finfo(torch.float32).min, dtype=torch.float32)
    total = torch.zeros_like(largest, dtype=torch.float64)
    chosen = torch.zeros_like(largest)  # the target's logit
    for first in range(0, vocabulary, VOCABULARY_TILE):
        words = slice(first, min(first + VOCABULARY_TILE, vocabulary))
        logits = family.logits(model, rows, words).float()  # (token, word)
        inside = (targets >= words.start) & (targets < words.stop)
        place = (targets - first).clamp(0, words.stop - first - 1)
        chosen = torch.where(inside, logits.gather(1, place[:, None])[:, 0], chosen)
        higher = torch.maximum(largest, logits.amax(1))
        total *= (largest - higher).double().exp()
        total += logits.sub_(higher[:, None]).exp_().sum(1)
        largest = higher
    return (total.log() + (largest - chosen).double()).float()

"""The text of the demo model's card; ``train_demo_model`` fills in what it measured."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from actlas.scripts.dev.demo_grammar import sentences
from actlas.scripts.dev.demo_options import TOKENIZER_SENTENCES, TrainingOptions

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

CARD = """\
---
library_name: transformers
pipeline_tag: text-generation
language: en
license: apache-2.0
---
# The actlas demo model

A GPT-2 of {parameters:,} parameters ({o.blocks} blocks, d_model {o.width}, {o.heads} heads,
{o.positions} positions, tied embeddings, float32), trained on English sentences from a grammar.
It is there so that every command of actlas can be tried in seconds and without a download, on a
model that has really learned something.

| | |
| --- | --- |
| held-out loss (nats per token) | {loss:.4f} |
| held-out text | {heldout}, each alone from position 0 |
| training text | grammar `scripts/dev/demo_grammar.py`, seed {o.seed}, never repeated |
| tokenizer | byte-level BPE like GPT-2's, {vocabulary} tokens, from {tokenizer_sentences} |
| steps | {o.steps:,} of {o.tokens_per_step:,} tokens; rows of {rows} tokens, {row_start} |
| optimiser | AdamW, β 0.9 and 0.95, gradients clipped to norm 1 |
| learning rate | {o.learning_rate}, {o.warmup} steps of warm-up, then a cosine to a hundredth |
| weight decay | matrices {o.weight_decay}, position embeddings {o.position_decay}, vectors 0 |
| dropout | none in training; `config.json` says GPT-2's 0.1, which acts in train mode only |
| seed of the weights | {o.seed} |
| training time | {minutes:.1f} minutes, {o.threads} threads |
| made with | torch {torch}, transformers {transformers} |

Remake it (other library versions or processors change the last digits):

```
python -m actlas.scripts.dev.train_demo_model --out demo_model --steps {o.steps} --seed {o.seed}
```

Feed it single sentences from position 0, without a beginning-of-text token. `<|endoftext|>` stands
between sentences.

## What it is not

It knows about {words} words and the sentences one grammar makes of them. It is no language model
for any other text: hand-written sentences, even of its own words, it predicts hardly better than
chance, so look at changes of the loss on sentences of the grammar. It knows nothing of the world,
and findings on it say nothing about larger models. Its pronouns are tied to names as "she" or "he"
alone; that is a simplification for study, not a statement about people.
"""


def model_card(
    model: GPT2LMHeadModel, options: TrainingOptions, loss: float, seconds: float
) -> str:
    """What a user must know of the model, with the numbers of this training."""
    import torch
    import transformers

    words = {
        word
        for text in islice(sentences(options.seed), TOKENIZER_SENTENCES)
        for word in text.strip(".").split()
    }
    return CARD.format(
        o=options,
        parameters=model.num_parameters(),
        vocabulary=model.config.vocab_size,
        tokenizer_sentences=f"the first {TOKENIZER_SENTENCES:,} sentences",
        heldout=f"{options.heldout_sentences:,} sentences of grammar seed {options.heldout_seed}",
        row_start="each from the start of a sentence",
        rows=" or ".join(str(length) for length in sorted(set(options.row_lengths))),
        words=round(len({word.strip(",").lower() for word in words}), -1),
        loss=loss,
        minutes=seconds / 60,
        torch=torch.__version__,
        transformers=transformers.__version__,
    )

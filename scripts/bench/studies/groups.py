"""How long groups of tokens take to be found: ten expressions on the labels of 7,000 tokens.

    python scripts/bench/studies/groups.py --tokens 7000

The labels are made up: sentences of a small vocabulary, some words of two tokens, two columns.
"""

from __future__ import annotations

import time

import click
import numpy as np
import xarray as xr

from actlas.analysis.groups import parse_group, select_groups
from actlas.scripts.terminal.text import table

WORDS = "Mary Tom saw lost her him his a an the these cup cups garden , ; . when and met"
VOCABULARY = WORDS.split()
EXPRESSIONS = (
    "it=a|an",
    "it=her",
    "it=her,use:object",
    "it=her@-1",
    r"it=text:\,|;",
    "it=regex:^ ?[A-Z]",
    "it=length:1-3",
    "it=position:-1",
    "it=freq:1-340",
    "it=!word:the|a|an,template:1|2|3",
)
LENGTH = 12  # tokens of a sentence
TEMPLATES = 57


def labels(tokens: int) -> xr.Dataset:
    """Return the labels of about ``tokens`` tokens, as ``Run.dataset()`` has them."""
    generator = np.random.default_rng(0)
    sentences = max(2, tokens // LENGTH)
    ids = generator.integers(0, len(VOCABULARY), (sentences, LENGTH))
    columns: dict[str, list[int]] = {"char_start": [], "char_end": []}
    texts = np.empty(sentences, dtype=object)
    for number, row in enumerate(ids):
        texts[number] = " ".join(VOCABULARY[each] for each in row)
        ends = np.cumsum([len(VOCABULARY[each]) + 1 for each in row]) - 1
        columns["char_start"] += [0, *ends[:-1].tolist()]
        columns["char_end"] += ends.tolist()
    of_token = np.repeat(np.arange(sentences), LENGTH)
    uses = np.array(["object", "possessive"], dtype=object)[generator.integers(0, 2, sentences)]
    coords = {
        "sentence": of_token,
        "position": np.tile(np.arange(LENGTH), sentences),
        "token_id": ids.ravel(),
        "text": texts[of_token],
        "use": uses[of_token],
        "template": (np.arange(sentences) % TEMPLATES)[of_token],
        **{name: np.array(column) for name, column in columns.items()},
    }
    return xr.Dataset(coords={name: ("token", column) for name, column in coords.items()})


@click.command()
@click.option("--tokens", type=click.IntRange(24), default=7000, show_default=True)
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True)
def main(tokens: int, runs: int) -> None:
    """Print the least time of each expression, and how many tokens it is."""
    dataset, rows = labels(tokens), []
    for text in EXPRESSIONS:
        group, times = parse_group(text), []
        for _ in range(runs):
            start = time.perf_counter()
            groups = select_groups(dataset, [text], cluster="template")
            times.append(time.perf_counter() - start)
        rows.append((group.condition_text, len(groups["it"]), f"{1000 * min(times):.1f}"))
    click.echo(f"{dataset.sizes['token']:,} tokens")
    click.echo(table(("group", "tokens", "ms"), rows))


if __name__ == "__main__":
    main()

"""A stored run of random activations at any geometry, made without a model.

Benchmarks that read use it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from actlas.pipeline.models.geometry import Geometry
from actlas.pipeline.models.sites import layout
from actlas.store.catalog import Store
from actlas.store.format.pools import Origin
from actlas.store.format.schema import Unit
from actlas.store.io.workspace import workspace
from actlas.store.labels.labels import Labels, text_digest
from actlas.store.runs.commits import publish
from actlas.store.runs.run import Run
from actlas.store.writing.shard import ShardWriter

WORD = "her"


def labels_of(sentences: int, tokens: int, vocabulary: int = 50257) -> Labels:
    """Return labels of random token ids in sentences of ``tokens`` words of one letter.

    WORD stands in the middle of each.
    """
    words = ["x"] * (tokens // 2) + [WORD] + ["x"] * (tokens - tokens // 2 - 1)
    ends = np.cumsum([len(word) + (place > 0) for place, word in enumerate(words)]).astype(np.int32)
    ids = np.random.default_rng(0).integers(0, vocabulary, sentences * tokens, dtype=np.int32)
    token = {
        "sentence": np.repeat(np.arange(sentences, dtype=np.int32), tokens),
        "position": np.tile(np.arange(tokens, dtype=np.int32), sentences),
        "token_id": ids,
        "char_start": np.tile(np.concatenate([[0], ends[:-1]]).astype(np.int32), sentences),
        "char_end": np.tile(ends, sentences),
    }
    return Labels(
        token, np.full(sentences, tokens, dtype=np.int32), (" ".join(words),) * sentences, {}
    )


def random_run(
    folder: Path, geometry: Geometry, sites: tuple[str, ...], labels: Labels, unit_sentences: int
) -> Run:
    """Store normally distributed activations of ``sites`` for the sentences of ``labels``.

    A unit has ``unit_sentences`` of them.
    """
    count = len(labels.text)
    firsts = range(0, count, unit_sentences)
    parts = [labels.sentences(first, min(unit_sentences, count - first)) for first in firsts]
    units = [
        Unit(number, first, len(part.text), part.tokens)
        for number, (first, part) in enumerate(zip(firsts, parts, strict=True))
    ]
    sizes: dict[str, object] = {"name": "random", "law": "add", **geometry.sizes}
    description = {"created": "", "model": sizes, "source": "random", "actlas": ""}
    description["texts"] = text_digest(labels.text)
    run = Store.create(folder).add(
        {"random": geometry.sizes, "tokens": labels.tokens, "units": len(units)}, description, units
    )
    generator = np.random.default_rng(0)
    with workspace(run.folder) as work:
        for unit, part in zip(units, parts, strict=True):
            layouts = [layout(site, geometry, unit.tokens, "float32") for site in sites]
            writer = ShardWriter(
                work.folder / f"{unit.number:08d}-{work.token}.h5", layouts, part, {}
            )
            for each in layouts:
                for block in range(each.blocks):
                    rows = generator.standard_normal(each.block_shape, dtype=np.float32)
                    writer.write(each.site, block, unit.tokens, [rows])
            record = writer.finish()
            commit = record.commit(run.id, unit, writer.path.name, Origin({}))
            publish(run.folder, writer, commit)
    run.refresh()
    return run

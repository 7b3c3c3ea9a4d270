"""Runs of tiny models written from the oracle: no torch, no tokenizer."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from actlas.pipeline.models.folder import resolve
from actlas.pipeline.models.scores import score_facts
from actlas.pipeline.models.sites import SITES
from actlas.pipeline.readouts.making import model_identity
from actlas.store import Run
from actlas.store.labels.labels import Labels
from tests.families.oracle import activations
from tests.store.making import Content, make_run

LENGTHS = (7, 4, 9)  # tokens of the sentences: longer than windows
UNITS = ((7, 4), (9,))
MASK = 4


class Written(Content):
    """What the oracle computes of a model, sentence by sentence."""

    def __init__(self, folder: Path, sites=(), change=None):
        model = resolve(str(folder))
        family = model.architecture.family
        config = json.loads((folder / "config.json").read_text())
        tensors = load_file(folder / "model.safetensors")
        random = np.random.default_rng(3)
        ids = [random.integers(5, 150, length) for length in LENGTHS]
        if not family.causal:
            for each in ids:
                each[len(each) // 2] = MASK
        found = [activations(config, tensors, each, *([change] if change else [])) for each in ids]
        self.every = joined(found)
        wanted = sites or tuple(site for site in self.every if site in family.rows)
        wide = {site: self.every[site].astype(np.float32) for site in wanted}
        sizes = {**model.geometry.sizes, "key": max(LENGTHS)}
        labels = labels_of(ids)
        says = {
            "name": str(folder),
            "law": family.law,
            "causal": family.causal,
            "attention": score_facts(model.effective, model.architecture),
            **sizes,
        }
        fields = {
            "units": UNITS,
            "dtypes": dict.fromkeys(wanted, "float32"),
            "sizes": sizes,
            "seed": 0,
            "labels": labels,
            "values": wide,
        }
        for name, value in fields.items():
            self.__dict__[name] = value
        self.__dict__["says"] = {"model": says, "source": "made", "bos": False, "texts": ""}
        self.__dict__["geometry"] = model.geometry
        self.__dict__["identity"] = model_identity(model)

    @property
    def description(self):
        return self.says

    def dims(self, site):
        return SITES[site].dims_in(self.geometry)


def labels_of(ids):
    """Return the labels of tokens of two characters each."""
    token = {
        "sentence": np.repeat(np.arange(len(LENGTHS)), LENGTHS),
        "position": np.concatenate([np.arange(length) for length in LENGTHS]),
        "token_id": np.concatenate(ids),
        "char_start": np.concatenate([2 * np.arange(length) for length in LENGTHS]),
        "char_end": np.concatenate([2 * np.arange(length) + 2 for length in LENGTHS]),
    }
    return Labels(
        {name: value.astype(np.int32) for name, value in token.items()},
        np.array(LENGTHS, np.int32),
        tuple("a " * length for length in LENGTHS),
        {},
    )


def joined(found):
    """Return site → values of all sentences, one after the other; pattern on the longest."""
    together = {}
    for site in found[0]:
        parts = [each[site] for each in found]
        if site == "pattern":
            longest = max(LENGTHS)
            parts = [np.pad(p, [*[(0, 0)] * 3, (0, longest - p.shape[-1])]) for p in parts]
        axis = 0 if site in ("final_norm", "logits", "nll") else 1
        together[site] = np.concatenate(parts, axis=axis)
    return together


def stored(path: Path, folder: Path, sites=(), **specification) -> tuple[Run, dict]:
    """Return a run of a tiny model in a store at ``path``, and every site by the oracle."""
    content = Written(folder, sites)
    numerics = {"dtype": "float32", "stored_dtype": "float32", "mode": "eval", "attention": "eager"}
    given = {"model": content.identity, "numerics": numerics, "tokens": "t" * 16, "edits": []}
    return make_run(path, content, "it", **{**given, **specification}), content.every

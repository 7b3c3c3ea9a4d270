"""Stored runs of models of any law of the residual stream, made without a model.

Sizes are all different, keys and values have fewer heads than queries, d_head is not d_model /
head.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from actlas.store import Store
from actlas.store.labels.labels import Labels
from tests.store.making import Content, as_stored, make_run, make_variant

SIZES = {"layer": 3, "depth": 4, "head": 8, "kv_head": 2, "d_head": 3, "d_model": 7}
TEXTS = (
    "We saw her there",
    "Mary lost her key again",
    "Nobody knew her",
    "You met her twice",
    "The cup was her own",
    "They told her all of it",
)
UNITS = (2, 3, 1)  # sentences
NUMERICS = {"dtype": "float32", "stored_dtype": "float32", "mode": "eval", "attention": "eager"}
PARTS = ("resid", "attn_out", "mlp_out")
EPS = 1e-12


def sites_of(law: str, causal: bool = True) -> tuple[str, ...]:
    """Return what a model of ``law`` has of the sites that these runs can hold."""
    sites = ("resid", "q", "k", "v", "z", "attn_out", "mlp_out")
    sites += () if law == "parallel" else ("resid_mid",)
    sites += () if law == "post" else ("final_norm",)
    return (*sites, "nll") if causal else sites


def layer_norm(rows, weight, bias):
    """LayerNorm of rows (token, d_model) in float64, rounded to float32 at the end."""
    wide = rows.astype(np.float64)
    centred = wide - wide.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPS)
    return (scaled * weight + bias).astype(np.float32)


@dataclass(frozen=True)
class LawContent(Content):
    """A run whose blocks write the stream by ``law``; ``sites`` of it are stored."""

    law: str = "add"
    causal: bool = True
    record: dict = None  # of the model, in place of law and causality
    edited: bool = False  # whether block 1 gives what it was given

    def __post_init__(self):
        rows = [len(text.split()) for text in TEXTS]
        cuts = np.cumsum([0, *UNITS])
        units = tuple(tuple(rows[a:b]) for a, b in pairwise(cuts))
        object.__setattr__(self, "units", units)
        stored = self.dtypes or dict.fromkeys(sites_of(self.law, self.causal), "float32")
        object.__setattr__(self, "dtypes", dict(stored))
        object.__setattr__(self, "sizes", {**SIZES, **(self.sizes or {})})

    @property
    def description(self):
        says = {"law": self.law, "causal": self.causal}
        model = {"name": "made", **self.sizes} | (says if self.record is None else self.record)
        return {"model": model, "source": "made", "bos": False, "actlas": "", "texts": ""}

    @cached_property
    def labels(self):
        token = {name: [] for name in ("sentence", "position", "char_start", "char_end")}
        for sentence, text in enumerate(TEXTS):
            start = 0
            for position, word in enumerate(text.split()):
                end = start + len(word) + (position > 0)
                for name, value in zip(token, (sentence, position, start, end), strict=True):
                    token[name].append(value)
                start = end
        arrays = {name: np.array(values, dtype=np.int32) for name, values in token.items()}
        ids = np.array([len(word) for text in TEXTS for word in text.split()], dtype=np.int32)
        rows = np.array([len(text.split()) for text in TEXTS], dtype=np.int32)
        return Labels({**arrays, "token_id": ids}, rows, TEXTS, {})

    @cached_property
    def values(self):
        """Site → float32 over the whole run, as the law has it, in the precision of the store."""
        random = np.random.default_rng(self.seed)
        sizes = {**self.sizes, "token": self.labels.tokens}
        shapes = {site: [sizes[dim] for dim in self.dims(site)] for site in sites_of("add")}
        raw = {site: random.normal(size=shape).astype(np.float32) for site, shape in shapes.items()}
        self._write_stream(raw, random)
        raw["nll"] = np.abs(raw["nll"])
        raw["nll"][self.labels.token["position"] == 0] = np.nan
        return {site: as_stored(raw[site], dtype) for site, dtype in self.dtypes.items()}

    def _write_stream(self, raw, random):
        stream, attention, mlp = (raw[site] for site in PARTS)
        if self.edited:
            attention[2:] *= 1.5  # downstream of block 1 they see another stream
        for layer in range(self.sizes["layer"]):
            if self.law == "parallel":
                stream[layer + 1] = (mlp[layer] + attention[layer]) + stream[layer]
            else:
                middle = stream[layer] + attention[layer]
                middle = self._normed(middle, random)
                raw["resid_mid"][layer] = middle
                stream[layer + 1] = self._normed(middle + mlp[layer], random)
            if self.edited and layer == 1:
                stream[layer + 1] = stream[layer]

    def _normed(self, rows, random):
        weight, bias = random.normal(1, 0.2, (2, self.sizes["d_model"]))
        return layer_norm(rows, weight, bias) if self.law == "post" else rows


def run_of(path, content, name="it"):
    """Return a run of ``content``."""
    return make_run(path, content, name, numerics=NUMERICS, tokens="t" * 16, edits=[])


def variant_of(path, run, content):
    """Return a variant of ``run``, of the same content, whose block 1 is skipped."""
    changes = {"dtypes": content.dtypes, "sizes": content.sizes, "seed": content.seed}
    kind = {"law": content.law, "causal": content.causal, "record": content.record}
    variant = make_variant(path, run, LawContent(**changes, **kind, edited=True))
    return Store(path).name(variant, "skipped")

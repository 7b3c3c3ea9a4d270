"""A tiny model at work: loaded once, its runs in a store, and its oracle beside it."""

import json
import warnings
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from safetensors.numpy import load_file

from actlas.pipeline.edits.apply import Batch, Intervention
from actlas.pipeline.edits.spec import in_order, parse_edit
from actlas.pipeline.extraction.forward import padded_ids
from actlas.pipeline.extraction.hooks import edited, run_captured
from actlas.pipeline.extraction.loop import extract_with, load_for
from actlas.pipeline.extraction.options import ExtractOptions
from actlas.pipeline.extraction.planning import make_plan, plan_variants
from actlas.pipeline.inputs.sentences import Sentences
from actlas.pipeline.inputs.tokens import tokenize
from actlas.pipeline.models.folder import resolve
from actlas.pipeline.models.sites import SITES
from actlas.store import Store
from tests.edited_oracle import changing
from tests.families.oracle import activations, unchanged
from tests.families.oracles import weights
from tests.families.tiny import TINY, save_tiny

TEXTS = (
    "Mary lost her key in the garden.",
    "We saw her.",
    "When the rain began, Tom gave her a coat.",
    "her",
)
UNIT_TOKENS = 90  # so that sentences of different lengths share a batch
#: of a site's largest value, float32; the worst there is has 3.5e-6, mlp_out of OLMo 2
TOLERANCE = 1e-5
REFUSED = "phi3-longrope"  # its angles depend on the longest sentence of a batch
READ = [name for name in TINY if name != REFUSED]
_TOKENS = {}


class Tried:
    """A tiny model, each part made when it is first asked for."""

    def __init__(self, root, name, texts=TEXTS):
        self.folder = save_tiny(root / "model", name)
        self.model = resolve(str(self.folder))
        self.architecture = self.model.architecture
        self.store = Store.create(root / "store")
        self._texts, self._models = texts, {}

    @property
    def attentions(self):
        """The implementations of attention that the family can be run with, its own first."""
        wanted = self.architecture.family.attention
        return ("sdpa", "eager") if wanted == "any" else (wanted,)

    def sites(self, attention):
        """Return the sites that a run can have, in the order of the table."""
        has = self.architecture.available(attention)
        return tuple(site for site in SITES if site in has)

    def edits_in(self, texts):
        """Return those of ``texts`` that the model has a place for.

        Heads are edited behind a norm over all of them.
        """
        rows, found = self.architecture.family.rows, []
        for text in texts:
            target = parse_edit(text).target
            if target.site not in rows:
                continue
            behind = rows[target.site].edit == "whole" and target.head is not None
            found.append(text.replace(",", "_normed,", 1) if behind else text)
        return found

    @property
    def tokens(self):
        """The texts in tokens; transformers is asked once for each tokenizer."""
        key = (self.folder / "tokenizer.json").read_bytes(), self._texts
        if key not in _TOKENS:
            numbers = tuple(range(1, len(self._texts) + 1))
            _TOKENS[key] = tokenize(Sentences("test", self._texts, numbers, {}), self.model)
        return _TOKENS[key]

    def plan(self, sites=None, attention=None, **more):
        attention = attention or self.attentions[0]
        options = {"unit_tokens": UNIT_TOKENS, "attention": attention, **more}
        wanted = ExtractOptions(sites or self.sites(attention), **options)
        return make_plan(self.store, self.model, self.tokens, "test", wanted)

    def extracted(self, plan):
        """Return the run of ``plan``, computed with the model that is loaded already."""
        run = self.store.add(plan.specification, plan.description, plan.units)
        extract_with(self.loaded(plan), plan, run)
        return Store(self.store.path).run(run.id)

    def loaded(self, plan):
        key = plan.options.attention, plan.options.dtype
        if key not in self._models:
            self._models[key] = load_for(plan)
        return self._models[key]

    @cached_property
    def baseline(self):
        return self.extracted(self.plan())

    def variant(self, texts):
        """Return the run with the edits of ``texts``, all of them at once."""
        assert self.baseline
        edits = tuple(parse_edit(text) for text in texts)
        return self.extracted(plan_variants(self.plan(), [edits])[0])

    def everything(self):
        """Return all units with their labels, whatever is stored."""
        plan = self.plan()
        missing = tuple((unit, plan.parts) for unit in plan.units)
        return replace(plan, missing=missing).work_items()

    def whole_pass(self, texts=()):
        """Return (site, index) → rows (token, …) of a pass from the embeddings, edits in it."""
        plan, found = self.plan(), {}
        points = self.architecture.hook_points(
            site for site in plan.options.sites if site not in ("nll", "pattern")
        )
        edits = [
            Intervention(edit, self.architecture)
            for edit in in_order(parse_edit(text) for text in texts)
        ]
        model = self.loaded(plan)
        for item in self.everything():
            batch = Batch(padded_ids(item.labels), tuple(item.labels.row_size.tolist()))
            real = torch.from_numpy(batch.real)
            for each in edits:
                each.begin_batch(batch)

            def sink(point, value, real=real):
                found.setdefault(point.key, []).append(value[real].numpy().copy())

            ids = torch.from_numpy(batch.token_ids)
            mask = None if self.architecture.family.causal else real
            with torch.inference_mode(), edited(model, edits) if edits else nullcontext():
                run_captured(model, self.architecture, ids, points, sink, real=mask)
        return {key: np.concatenate(parts) for key, parts in found.items()}

    @cached_property
    def _oracle(self):
        config = json.loads((self.folder / "config.json").read_text())
        return config, weights.read(load_file(self.folder / "model.safetensors"))

    def expected(self, texts=()):
        """Return site → array for each sentence, by the oracle with the edits of ``texts``."""
        config, read = self._oracle
        row_size = self.tokens.labels.row_size
        ids = np.split(self.tokens.labels.token["token_id"], np.cumsum(row_size)[:-1])
        found = []
        for each in ids:
            sentence = activations(config, read, each.tolist(), self._changing(texts, each))
            self._count_in_sum(sentence, texts)
            found.append(sentence)
        return found

    def _changing(self, texts, token_ids):
        if not texts:
            return unchanged
        change, stream = changing(texts, token_ids), {}

        def changed(site, index, value):
            source = stream.get(index - 1) if site == "resid" else None
            value = change(site, index, value, source)
            if site == "resid":
                stream[index] = value
            return value

        return changed

    def _count_in_sum(self, sentence, texts):
        """The stream after attention is changed through what attention adds."""
        for text in texts:
            target = parse_edit(text).target
            if self.architecture.hook_point(target.site, target.index or 0).row.edit == "attn_out":
                at = target.index
                sentence["attn_out"][at] = sentence["resid_mid"][at] - sentence["resid"][at]


def errors(run, expected):
    """Return site → the largest error in any sentence, of the site's largest value in it."""
    dataset, found = run.dataset(check=True), {}
    ends = np.cumsum([0, *run.labels.row_size])
    for site in dataset.data_vars:
        got = dataset[site]
        axis, values = got.dims.index("token"), got.values
        worst = []
        for sentence, (start, end) in zip(expected, pairwise(ends), strict=True):
            part = np.take(values, np.arange(start, end), axis=axis)
            part = part[..., : end - start] if site == "pattern" else part
            worst.append(error(part, sentence[site], site))
        found[site] = max(worst)
    return found


def error(got, wanted, site=""):
    """Return the largest difference over the largest value; both have NaN in the same places."""
    assert got.shape == wanted.shape, site
    known = ~np.isnan(wanted)
    assert (np.isnan(got) == ~known).all(), site
    scale = np.abs(wanted[known]).max(initial=1e-9)
    return np.abs(got - wanted)[known].max(initial=0) / scale


def made_once(tmp_path_factory):
    """Return name → a tiny model at work, made when it is first asked for."""
    made = {}

    def of(name):
        if name not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made[name] = Tried(tmp_path_factory.mktemp(name), name)
        return made[name]

    return of

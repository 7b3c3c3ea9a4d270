"""Extraction as the tests use it: sentences, a model folder, a store; everything real."""

from pathlib import Path

from actlas.pipeline.edits.spec import parse_edit
from actlas.pipeline.extraction.loop import extract
from actlas.pipeline.extraction.options import ExtractOptions
from actlas.pipeline.extraction.plan import Plan
from actlas.pipeline.extraction.planning import make_plan
from actlas.pipeline.extraction.progress import ExtractionStats
from actlas.pipeline.inputs.sentences import Sentences
from actlas.pipeline.inputs.tokens import tokenize
from actlas.pipeline.models.families.gpt.gpt2 import GPT2
from actlas.pipeline.models.folder import resolve
from actlas.pipeline.models.sites import SITES
from actlas.store import Run, Store

#: of GPT-2, that every attention implementation has
ALL_SITES = tuple(site for site in SITES if site in GPT2.rows and site != "pattern")


def plan_for(store: Path, model: Path, texts, sites=ALL_SITES, **options) -> Plan:
    sentences = Sentences("test", tuple(texts), tuple(range(1, len(texts) + 1)), {})
    folder = resolve(str(model))
    return make_plan(
        Store.create(store),
        folder,
        tokenize(sentences, folder),
        "test",
        ExtractOptions(sites, **options),
    )


def extract_texts(
    store: Path, model: Path, texts, sites=ALL_SITES, **options
) -> tuple[Run, ExtractionStats]:
    """Extract ``texts`` and return the run, opened again, and what was done."""
    plan = plan_for(store, model, texts, sites, **options)
    run = Store(store).add(plan.specification, plan.description, plan.units)
    stats = extract(plan, run)
    return Store(store).run(run.id), stats


def extract_variant(store: Path, model: Path, texts, edits, sites=ALL_SITES, **options) -> Run:
    """Extract ``texts`` with ``edits``, given as text, the baseline first where it is missing.

    Return the run, opened again.
    """
    extract_texts(
        store,
        model,
        texts,
        tuple(site for site in SITES if site in ("resid", *sites)),
        **options,
    )
    return extract_texts(
        store, model, texts, sites, edits=tuple(parse_edit(text) for text in edits), **options
    )[0]

"""A study asked of a run as a command asks it."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from actlas.analysis import registry
from actlas.analysis.declaring import Subject
from actlas.scripts.analyses.asked import Asked
from tests.store.laws import TEXTS

LAWS = ("add", "parallel", "post")


def asked(run, name, *variants, **options):
    study = registry.find(name)
    return Asked(study, study.options(**options), run, variants)


@dataclass(frozen=True)
class Found:
    """What a study finds of a run, without its figures, which take the longest."""

    result: xr.Dataset
    subject: Subject
    findings: list[str]
    holds: bool


def found(run, name, *variants, **options):
    question = asked(run, name, *variants, **options)
    study, subject = question.study, question.subject
    lazy = study.compute(subject, question.options)
    result = lazy.compute().assign_attrs(lazy.attrs | question.recorded)
    holds = all(check.holds for check in study.checks(result))
    return Found(result, subject, study.findings(result, subject), holds)


def words(groups):
    """Return the tokens of "her" and those before them, from the texts alone."""
    split = [text.split() for text in TEXTS]
    starts = np.cumsum([0, *map(len, split)])
    her = [start + words.index("her") for start, words in zip(starts, split, strict=False)]
    return {"target": np.array(her), "control": np.array(her) - 1}[groups]

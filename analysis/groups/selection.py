"""From options to groups of tokens: ``select_groups``, and the checks that all studies rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from actlas.analysis.data.kept import with_places
from actlas.analysis.data.pooling import Pool
from actlas.analysis.data.sentences import Indices
from actlas.analysis.groups.choice import FirstToken, GroupChoice, parse_contrasts
from actlas.analysis.groups.evaluation import TokenTable
from actlas.analysis.groups.grammar import parse_group, parse_groups, with_words
from actlas.analysis.groups.selecting import Selecting
from actlas.analysis.groups.token_groups import TokenGroups


def select_groups(
    dataset: xr.Dataset,
    groups: Mapping[str, str] | Sequence[str] = (),
    *,
    cluster: str = "sentence",
    match: str | None = None,
    within: str | None = None,
    first_token: FirstToken = "leave",
    by: str | None = None,
    contrast: Sequence[str] = (),
    pool: Pool = "last",
    case: bool = False,
    seed: int = 0,
    every: bool = False,
) -> TokenGroups:
    """Return named groups of the tokens of a run.

    dataset: of ``Run.dataset()``, with its labels on ``token``. groups: name → condition, such as
    ``{"singular": "a|an", "plural": "these|those"}``, or ``NAME=CONDITION`` texts; conditions are
    described in ``actlas.analysis.groups.grammar``. cluster: what tokens that hang together share,
    ``sentence`` or a column. match: ``position``, ``length`` or a column, in each stratum of which
    groups are drawn equally large. within: a column whose values name pairs of sentences: compared
    groups have one token of each, and intervals are over pairs. first_token: whether first and
    special tokens are left out of all groups (``leave``), are groups of their own (``group``) or
    like any other (``include``). by: a column, a group for each of its values. contrast: ``A:B``
    texts, ``rest`` being all other tokens; without it two groups are compared with each other, any
    other number each with the rest. every: whether all tokens are a group too. Raises UsageError
    for what is no group, a name or value that does not exist, and groups without tokens, of fewer
    than two clusters, or of the same tokens as another.
    """
    texts = groups if isinstance(groups, Mapping) else tuple(groups)
    parsed = tuple(with_words(group) for group in parse_groups(texts))
    compared = parse_contrasts(contrast)
    choice = GroupChoice(
        parsed,
        None,
        by,
        False,
        compared,
        cluster,
        match,
        within,
        first_token,
        pool,
        case,
        seed,
        every,
    )
    return chosen_groups(dataset, choice)


def chosen_groups(labels: xr.Dataset, choice: GroupChoice) -> TokenGroups:
    """Return the groups of ``choice``; see ``select_groups``."""
    return _selecting(labels, choice).groups()


def tokens_where(labels: xr.Dataset, text: str) -> Indices:
    """Return the indices along ``token`` of the tokens that a condition names, ascending.

    text: ``CONDITION`` or ``NAME=CONDITION``, as groups are written; of a word its last token.
    First and special tokens count. Raises UsageError for what is no condition or names none.
    """
    name, equals, _ = text.partition("=")
    group = parse_group(text if equals and name.isidentifier() else f"where={text}")
    chosen = _selecting(labels, GroupChoice(first_token="include"))
    tokens = np.unique(chosen.with_rows(group.name, chosen.matches(with_words(group))).last)
    return tokens if chosen.places is None else chosen.places[tokens]


def _selecting(view: xr.Dataset, choice: GroupChoice) -> Selecting:
    every, places = with_places(view)
    return Selecting(
        choice, TokenTable(every, choice.case), places, str(view.attrs.get("tokens", "some"))
    )

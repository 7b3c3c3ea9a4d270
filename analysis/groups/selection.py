"""From options to groups of tokens: ``select_groups``, and the checks that all studies rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from actlas.analysis.data.apart import first_tokens, later_tokens
from actlas.analysis.data.apart import special_tokens as special
from actlas.analysis.data.group_names import ALL, FIRST, LATER, REST, SPECIAL
from actlas.analysis.data.pooling import Pool
from actlas.analysis.data.sentences import Indices
from actlas.analysis.data.tokens import Selection, select_tokens
from actlas.analysis.data.words import nowhere
from actlas.analysis.groups.choice import FirstToken, GroupChoice, parse_contrasts
from actlas.analysis.groups.conditions import Word
from actlas.analysis.groups.evaluation import Found, Mask, TokenTable, column_labels
from actlas.analysis.groups.grammar import Group, parse_group, parse_groups, with_words
from actlas.analysis.groups.matching import matched
from actlas.analysis.groups.token_groups import Members, Origin, TokenGroups
from actlas.store.errors import UsageError, quoted, unknown

FEWEST = 2  # clusters of a group: of one there is no telling what is its own
MOST_VALUES = 24  # of a column, to be distinguished in a figure
LENGTHS = {"length 1-2": (1, 2), "length 3-4": (3, 4), "length 5-6": (5, 6), "length 7+": (7, 999)}
MOST_REST = 5_000  # tokens whose rows are held at a time; studies that stream take all
CONTRASTED = 2  # groups that are compared with each other; any other number each with the rest


def select_groups(
    dataset: xr.Dataset,
    groups: Mapping[str, str] | Sequence[str] = (),
    *,
    cluster: str = "sentence",
    match: str | None = None,
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
    groups are drawn equally large. first_token: whether first and special tokens are left out of
    all groups (``leave``), are groups of their own (``group``) or like any other (``include``). by:
    a column, a group for each of its values. contrast: ``A:B`` texts, ``rest`` being all other
    tokens; without it two groups are compared with each other, any other number each with the rest.
    every: whether all tokens are a group too. Raises UsageError for what is no group, a name or
    value that does not exist, and groups without tokens, of fewer than two clusters, or of the same
    tokens as another.
    """
    texts = groups if isinstance(groups, Mapping) else tuple(groups)
    parsed = tuple(with_words(group) for group in parse_groups(texts))
    choice = GroupChoice(
        parsed, None, by, False, parse_contrasts(contrast), cluster, match, first_token, pool, case,
        seed, every,
    )  # fmt: skip
    return chosen_groups(dataset, choice)


def chosen_groups(labels: xr.Dataset, choice: GroupChoice) -> TokenGroups:
    """Return the groups of ``choice``; see ``select_groups``."""
    return _Selecting(choice, TokenTable(labels, choice.case)).groups()


def tokens_where(labels: xr.Dataset, text: str) -> Indices:
    """Return the indices along ``token`` of the tokens that a condition names, ascending.

    text: ``CONDITION`` or ``NAME=CONDITION``, as groups are written; of a word its last token.
    First and special tokens count. Raises UsageError for what is no condition or names none.
    """
    name, equals, _ = text.partition("=")
    group = parse_group(text if equals and name.isidentifier() else f"where={text}")
    chosen = _Selecting(GroupChoice(first_token="include"), TokenTable(labels, case=False))
    return np.unique(chosen._matches(with_words(group)).last)


@dataclass(frozen=True)
class _Selecting:
    """One selection: what was chosen, and the labels."""

    choice: GroupChoice
    table: TokenTable

    def groups(self) -> TokenGroups:
        """Return the groups, checked."""
        choice, notes = self.choice, list[str]()
        pairs = None if choice.target is None else select_tokens(self.table.labels, choice.target)
        named = {**self._pairs(pairs), **self._conditions(), **self._by(), **self._lengths()}
        contrasts = self._contrasts(list(named))
        if any(REST in pair for pair in contrasts):
            rest = self._rest(named)
            if len(rest):
                named[REST], notes = self._drawn(rest)
            elif choice.contrast:
                raise UsageError("no token is in the rest: the groups have all of them")
            else:
                contrasts = ()
        _check(named)
        if choice.match is not None:
            names = [name for name in named if any(name in pair for pair in contrasts)]
            if len(names) < CONTRASTED:
                raise UsageError(f"--match {choice.match}: expected two groups to be compared")
            named, note = matched(named, names, choice.match, self.table, choice.seed)
            notes.append(note)
            _check(named)
            pairs = None  # what was drawn is paired no more
        notes += _shared(named)
        members = {**(self._every() if choice.every else {}), **named}
        return TokenGroups(members, choice.cluster, choice.pool, contrasts, tuple(notes), pairs)

    @cached_property
    def _kept(self) -> Mask:
        """Which tokens can be in a group."""
        if self.choice.first_token == "include":
            return np.ones(self.table.size, dtype=bool)
        return later_tokens(self.table.labels)

    @cached_property
    def _origin(self) -> Origin:
        """Sentence, position and cluster of each token."""
        name, labels = self.choice.cluster, self.table.labels
        if name not in column_labels(labels):
            raise unknown("column of clusters", name, ("sentence", *self.table.columns))
        sentence: npt.NDArray[np.integer] = labels["sentence"].values
        cluster = sentence
        if name != "sentence":
            codes = pd.factorize(labels[name].values, use_na_sentinel=False)[0]
            cluster = codes.astype(np.int32)
        return Origin(sentence, self.table.position, cluster)

    def _members(self, found: Found, owner: Indices | None = None) -> Members:
        return Members(found.first, found.last, self._origin, self.choice.pool, owner)

    def _of_tokens(self, tokens: Indices) -> Members:
        narrow = tokens.astype(np.min_scalar_type(self.table.size))  # there may be 10⁸ of them
        return self._members(Found(narrow, narrow))

    def _pairs(self, pairs: Selection | None) -> dict[str, Members]:
        if pairs is None:
            return {}
        owner = pairs.target_token  # a control belongs to its word
        target = Found(pairs.first_token, pairs.last_token)
        control = Found(pairs.control_token, pairs.control_token)
        return {
            "target": self._members(target, owner),
            "control": self._members(control, owner),
        }

    def _conditions(self) -> dict[str, Members]:
        found = {}
        for group in self.choice.groups:
            if self.choice.target is not None and group.name in ("target", "control"):
                raise UsageError(f"group {quoted(group.name)} is that of --target: name it apart")
            tokens = self._matches(group)
            kept = self._kept[tokens.first] & self._kept[tokens.last]
            if len(tokens.last) and not kept.any():
                raise UsageError(
                    f"group {quoted(group.name)}: its {len(tokens.last)} tokens are all first or "
                    "special ones, which are left out: --first-token include keeps them"
                )
            found[group.name] = self._members(Found(tokens.first[kept], tokens.last[kept]))
        return found

    def _matches(self, group: Group) -> Found:
        try:
            found = self.table.found(group)
        except UsageError as error:
            raise UsageError(f"group {quoted(group.name)}: {error}") from error
        if not len(found.last):
            reason = f"{group.condition_text} matches none of the {self.table.size} tokens"
            first, *others = group.conditions
            if not others and isinstance(first, Word) and len(first.words) == 1:
                # there or not, its tokens may not be in this part of the run
                absent = self.table.words(first.words[0]).nowhere
                reason = str(nowhere(self.table.labels, first.words[0])) if absent else reason
            raise UsageError(f"group {quoted(group.name)}: {reason}")
        return found

    def _by(self) -> dict[str, Members]:
        by, labels = self.choice.by, self.table.labels
        if by is None:
            return {}
        if by not in self.table.columns:
            raise unknown("label column", by, self.table.columns)
        codes, values = pd.factorize(labels[by].values, sort=True, use_na_sentinel=False)
        if len(values) > MOST_VALUES:
            raise UsageError(
                f"label column {by!r} has {len(values)} values, expected at most {MOST_VALUES}: "
                "choose one that sorts the sentences"
            )
        found = {}
        for code, value in enumerate(values):
            tokens = np.flatnonzero(self._kept & (codes == code))
            if len(tokens):
                found[f"{by}={value}"] = self._of_tokens(tokens)
        return found

    def _lengths(self) -> dict[str, Members]:
        if not self.choice.lengths:
            return {}
        found, sizes = {}, np.where(self._kept, self.table.lengths, 0)
        for name, (least, most) in LENGTHS.items():
            tokens = np.flatnonzero((sizes >= least) & (sizes <= most))
            if len(tokens):
                found[name] = self._of_tokens(tokens)
        return found

    def _every(self) -> dict[str, Members]:
        labels, choice = self.table.labels, self.choice.first_token
        if choice == "include":
            return {ALL: self._of_tokens(np.arange(self.table.size))}
        apart = {LATER: later_tokens(labels)}
        if choice == "group":
            apart = {FIRST: first_tokens(labels), **apart}
            if special(labels).any():
                apart[SPECIAL] = special(labels)
        return {name: self._of_tokens(np.flatnonzero(mask)) for name, mask in apart.items()}

    def _rest(self, named: Mapping[str, Members]) -> Members:
        left = self._kept.copy()
        for members in named.values():
            left[members.first] = left[members.last] = False
            inner = np.flatnonzero(members.last - members.first > 1)
            for at in inner.tolist():
                left[members.first[at] : members.last[at]] = False
        return self._of_tokens(np.flatnonzero(left))

    def _drawn(self, rest: Members) -> tuple[Members, list[str]]:
        """Return the rest, some of it where its rows are to be held in memory, and a note."""
        if self.choice.every or len(rest) <= MOST_REST:
            return rest, []
        generator = np.random.default_rng(self.choice.seed)
        chosen = np.sort(generator.choice(len(rest), MOST_REST, replace=False))
        note = f"the rest is {MOST_REST:,} of {len(rest):,} tokens, drawn with --seed"
        return rest.part(chosen), [note]

    def _contrasts(self, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
        for name in (each for pair in self.choice.contrast for each in pair):
            if name != REST and name not in names:
                raise unknown("group in --contrast", name, (*names, REST))
        if self.choice.contrast:
            return self.choice.contrast
        if len(names) == CONTRASTED:
            return ((names[0], names[1]),)
        # values of a column, and lengths, have no rest worth the name
        return tuple((group.name, REST) for group in self.choice.groups)


def _check(named: Mapping[str, Members]) -> None:
    """Refuse groups of one cluster, and two of the same tokens."""
    for name, members in named.items():
        clusters = len(np.unique(members.cluster))
        if clusters < FEWEST:
            tokens = f"{len(members)} token{'' if len(members) == 1 else 's'}"
            raise UsageError(
                f"group {quoted(name)} has {tokens} of {clusters} cluster: expected {FEWEST} "
                "clusters or more, or nothing can be said of it"
            )
    for one, other in combinations(named, 2):
        if np.array_equal(named[one].last, named[other].last):
            raise UsageError(f"groups {quoted(one)} and {quoted(other)} have the same tokens")


def _shared(named: Mapping[str, Members]) -> list[str]:
    notes = []
    for one, other in combinations(named, 2):
        shared = len(np.intersect1d(named[one].last, named[other].last))
        if shared:
            notes.append(f"groups {one} and {other} share {shared} tokens")
    return notes

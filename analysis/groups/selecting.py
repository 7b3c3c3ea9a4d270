"""One selection of groups: conditions, columns and pairs become tokens, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from actlas.analysis.data.apart import first_tokens, later_tokens
from actlas.analysis.data.apart import special_tokens as special
from actlas.analysis.data.group_names import ALL, FIRST, LATER, REST, SPECIAL
from actlas.analysis.data.pooling import have_rows
from actlas.analysis.data.sentences import Indices
from actlas.analysis.data.tokens import Selection, select_tokens
from actlas.analysis.groups.checks import check_groups, shared_tokens
from actlas.analysis.groups.choice import GroupChoice
from actlas.analysis.groups.evaluation import Found, Mask, TokenTable, column_labels
from actlas.analysis.groups.grammar import Group
from actlas.analysis.groups.matching import matched, paired
from actlas.analysis.groups.token_groups import Members, Origin, TokenGroups
from actlas.store.errors import UsageError, quoted, unknown

MOST_VALUES = 24  # of a column, to be distinguished in a figure
LENGTHS = {"length 1-2": (1, 2), "length 3-4": (3, 4), "length 5-6": (5, 6), "length 7+": (7, 999)}
MOST_REST = 5_000  # tokens whose rows are held at a time; studies that stream take all
CONTRASTED = 2  # groups that are compared with each other; any other number each with the rest


@dataclass(frozen=True)
class Selecting:
    """One selection: what was chosen, and the labels.

    places: of each token along the view, -1 where that has no rows of it; None where it is of all.
    kept: how the tokens that have rows were asked for.
    """

    choice: GroupChoice
    table: TokenTable
    places: Indices | None = None
    kept: str = ""
    lost: list[str] = field(default_factory=list)  # what is to be said of tokens without rows

    def groups(self) -> TokenGroups:
        """Return the groups, checked."""
        choice, notes = self.choice, list[str]()
        pairs = None
        if choice.target is not None:
            pairs = select_tokens(self.table.labels, choice.target, self._stored)
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
        check_groups(named)
        names_of_pairs: tuple[str, ...] = ()
        if choice.match is not None or choice.within is not None:
            named, note, names_of_pairs = self._drawn_alike(named, contrasts)
            notes.append(note)
            check_groups(named)
            pairs = None  # what was drawn is paired no more
        notes += [*self.lost, *shared_tokens(named)]
        members = {**(self._every() if choice.every else {}), **named}
        if self.places is not None:
            members = self._placed(members, self.places)
            pairs = None if pairs is None else pairs.placed(self.places)
        said = tuple(notes)
        cluster = choice.within or choice.cluster
        return TokenGroups(members, cluster, choice.pool, contrasts, said, pairs, names_of_pairs)

    def _drawn_alike(
        self, named: dict[str, Members], contrasts: Sequence[tuple[str, str]]
    ) -> tuple[dict[str, Members], str, tuple[str, ...]]:
        """Return groups with as many tokens of those that are compared, a note, names of pairs."""
        choice, by = self.choice, str(self.choice.match or self.choice.within)
        names = [name for name in named if any(name in pair for pair in contrasts)]
        if len(names) < CONTRASTED:
            option = "--match" if choice.match else "--within"
            raise UsageError(f"{option} {by}: expected two groups to be compared")
        if choice.within is not None:
            return paired(named, names, by, self.table, choice.seed)
        return *matched(named, names, by, self.table, choice.seed), ()

    def _placed(self, members: Mapping[str, Members], places: Indices) -> dict[str, Members]:
        """Return groups with their tokens counted along the view."""
        there = np.flatnonzero(places >= 0)
        of_view = np.empty_like(there)
        of_view[places[there]] = there
        origin = self._origin.part(of_view)
        return {name: each.placed(places, origin) for name, each in members.items()}

    @cached_property
    def _stored(self) -> Mask | None:
        """Which tokens have rows, None where all have."""
        return None if self.places is None else self.places >= 0

    @cached_property
    def _allowed(self) -> Mask:
        """Which tokens can be in a group where they have rows."""
        if self.choice.first_token == "include":
            return np.ones(self.table.size, dtype=bool)
        return later_tokens(self.table.labels)

    @cached_property
    def _kept(self) -> Mask:
        """Which tokens can be in a group."""
        return self._allowed if self._stored is None else self._allowed & self._stored

    @cached_property
    def _origin(self) -> Origin:
        """Sentence, position and cluster of each token."""
        name, labels = self.choice.within or self.choice.cluster, self.table.labels
        if name not in column_labels(labels):
            what = "pairs" if self.choice.within else "clusters"
            raise unknown(f"column of {what}", name, ("sentence", *self.table.columns))
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
            tokens = self.matches(group)
            kept = self._allowed[tokens.first] & self._allowed[tokens.last]
            if len(tokens.last) and not kept.any():
                raise UsageError(
                    f"group {quoted(group.name)}: its {len(tokens.last)} tokens are all first or "
                    "special ones, which are left out: --first-token include keeps them"
                )
            tokens = self.with_rows(group.name, Found(tokens.first[kept], tokens.last[kept]))
            found[group.name] = self._members(tokens)
        return found

    def with_rows(self, name: str, found: Found) -> Found:
        """Return those matches that have rows, of all of their tokens where a mean is taken."""
        if self._stored is None:
            return found
        there = have_rows(self._stored, found.first, found.last, self.choice.pool)
        lost = int((~there).sum())
        if lost == len(there):
            raise UsageError(
                f"group {quoted(name)}: no activations are kept of its {lost} tokens, the run has "
                f"those of {quoted(self.kept)}: `actlas extract … --tokens` adds them"
            )
        if lost:
            of_all = f"{lost} of {len(there)} tokens of {name} have no activations"
            self.lost.append(f"{of_all}: the run keeps {self.kept}")
        return Found(found.first[there], found.last[there])

    def matches(self, group: Group) -> Found:
        """Return the tokens of a group, with rows or without; raises UsageError naming it."""
        try:
            return self.table.matches(group)
        except UsageError as error:
            raise UsageError(f"group {quoted(group.name)}: {error}") from error

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
            return {ALL: self._of_tokens(np.flatnonzero(self._kept))}
        apart = {LATER: later_tokens(labels)}
        if choice == "group":
            apart = {FIRST: first_tokens(labels), **apart}
            if special(labels).any():
                apart[SPECIAL] = special(labels)
        stored = True if self._stored is None else self._stored
        return {
            name: self._of_tokens(np.flatnonzero(mask & stored)) for name, mask in apart.items()
        }

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

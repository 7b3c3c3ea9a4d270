"""Groups of tokens of a run: their tokens, what stands for a word, and what they are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import xarray as xr

from actlas.analysis.data.group_names import REST, WHOLE
from actlas.analysis.data.pooling import Pool, taken, unlabelled
from actlas.analysis.data.sentences import Indices
from actlas.analysis.data.tokens import Selection
from actlas.analysis.groups.grammar import OWN


class Grouped(Protocol):
    """Tokens in groups, as studies take them: ``TokenGroups``, or the pairs of a word alone."""

    @property
    def groups(self) -> Mapping[str, Indices]:
        """Token indices of each group."""

    @property
    def clusters(self) -> Mapping[str, Indices]:
        """Cluster of each of them."""

    def take(self, activations: xr.DataArray, group: str) -> xr.DataArray:
        """Return the rows of a group along ``token``."""

    def rows(self, activations: xr.DataArray, group: str) -> tuple[xr.DataArray, Indices]:
        """Return an array, and which of its rows along ``token`` are those of a group."""

    def coordinates(self) -> xr.Dataset:
        """Return what is to be saved with a result."""


@dataclass(frozen=True, eq=False)
class Origin:
    """Sentence, position and cluster of every token of the run, one for all groups: (token,)."""

    sentence: Indices
    position: Indices
    cluster: Indices

    def part(self, tokens: Indices) -> Origin:
        """Return that of some tokens."""
        return Origin(self.sentence[tokens], self.position[tokens], self.cluster[tokens])


@dataclass(frozen=True, eq=False)
class Members:
    """The tokens of a group, in equally long arrays: of each match its first and last token.

    origin: where they are from. owner: the tokens whose clusters they belong to, where these are
    others.
    """

    first: Indices
    last: Indices
    origin: Origin
    pool: Pool = "last"
    owner: Indices | None = None

    def __len__(self) -> int:
        return len(self.last)

    @property
    def at(self) -> Indices:
        """The token that stands for each."""
        return self.first if self.pool == "first" else self.last

    @property
    def sentence(self) -> Indices:
        """Sentence of each."""
        found: Indices = self.origin.sentence[self.at]
        return found

    @property
    def position(self) -> Indices:
        """Position of each in its sentence."""
        found: Indices = self.origin.position[self.at]
        return found

    @property
    def cluster(self) -> Indices:
        """Cluster of each."""
        found: Indices = self.origin.cluster[self.at if self.owner is None else self.owner]
        return found

    def part(self, places: Indices) -> Members:
        """Return those at ``places``."""
        owner = None if self.owner is None else self.owner[places]
        return replace(self, first=self.first[places], last=self.last[places], owner=owner)

    def placed(self, places: Indices, origin: Origin) -> Members:
        """Return them along a view; places: of each token there, origin: of its tokens.

        Where no mean is taken, the token that stands for a match is first and last of it.
        """
        owner = None if self.owner is None else places[self.owner]
        first, last = (self.first, self.last) if self.pool == "mean" else (self.at, self.at)
        return Members(places[first], places[last], origin, self.pool, owner)


@dataclass(frozen=True, eq=False)
class TokenGroups(Mapping[str, Indices]):
    """Named groups of tokens: a mapping of names to indices along ``token``.

    cluster: what tokens that hang together share, ``sentence`` or a column. contrasts: pairs of
    groups that are compared. notes: what is to be kept in mind, a sentence each. pairs: of a target
    word and its control, where groups are these. paired: names of pairs, of which each group of a
    contrast has one token, in this order.
    """

    members: Mapping[str, Members]
    cluster: str = "sentence"
    pool: Pool = "last"
    contrasts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    pairs: Selection | None = None
    paired: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Indices:
        """Return the indices along ``token`` of a group."""
        members = self.members[name]
        return members.first if self.pool == "first" else members.last

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    @property
    def groups(self) -> dict[str, Indices]:
        """Token indices of each group."""
        return {name: self[name] for name in self.members}

    @property
    def clusters(self) -> dict[str, Indices]:
        """Cluster of each token of each group, numbered over the run."""
        return {name: members.cluster for name, members in self.members.items()}

    @property
    def named(self) -> TokenGroups:
        """The groups that the user named, without those that every run has."""
        kept = {name: each for name, each in self.members.items() if name not in OWN}
        return replace(self, members=kept)

    @property
    def tokens(self) -> Indices:
        """All tokens of any group, each once, ascending."""
        return np.unique(np.concatenate([np.array([], dtype=np.int64), *self.values()]))

    def among(self, tokens: Indices) -> TokenGroups:
        """Return the groups with those of their members alone that are among ``tokens``."""
        members = {}
        compared = {name for pair in self.contrasts for name in pair} if self.paired else set()
        there = {name: np.isin(self[name], tokens) for name in self.members}
        # a pair stays as a whole
        whole = np.logical_and.reduce([there[name] for name in compared]) if compared else None
        for name, each in self.members.items():
            kept = whole if whole is not None and name in compared else there[name]
            members[name] = each.part(np.flatnonzero(kept))
        left = () if whole is None else np.flatnonzero(whole).tolist()
        names = tuple(self.paired[at] for at in left)
        return replace(self, members=members, pairs=None, paired=names)

    @property
    def apart(self) -> TokenGroups:
        """All groups but those that hold all tokens."""
        return replace(
            self, members={n: each for n, each in self.members.items() if n not in WHOLE}
        )

    @property
    def whole(self) -> Indices:
        """All tokens that are looked at, where they are a group."""
        return next(self[name] for name in WHOLE if name in self.members)

    def take(self, activations: xr.DataArray, group: str) -> xr.DataArray:
        """Return the rows of a group along ``token``, other token labels dropped; lazy stays lazy.

        With ``pool="mean"`` a row is the mean over the tokens of a match, in float64.
        """
        members = self.members[group]
        if self.pool != "mean" or group == "control":
            return taken(activations, self[group])
        return taken(activations, members.first, members.last)

    def rows(self, activations: xr.DataArray, group: str) -> tuple[xr.DataArray, Indices]:
        """Return an array, and which of its rows along ``token`` are those of a group.

        That is ``activations`` without labels of tokens; with ``pool="mean"`` the means.
        """
        if self.pool == "mean" and group != "control":
            return self.take(activations, group), np.arange(len(self.members[group]))
        return unlabelled(activations), self[group]

    def summary(self) -> xr.Dataset:
        """Return ``group_tokens``, ``group_sentences``, ``group_clusters``, ``group_position``.

        All are on ``group``; the last is the mean position.
        """
        rows = [
            (
                len(members),
                len(np.unique(members.sentence)),
                len(np.unique(members.cluster)),
                members.position.mean() if len(members) else np.nan,
            )
            for members in self.members.values()
        ]
        meanings = {
            "tokens": "tokens of the group",
            "sentences": "sentences that they are of",
            "clusters": f"clusters that they are of ({self.cluster})",
            "position": "mean position in the sentence",
        }
        columns = list(zip(*rows, strict=True)) or [()] * len(meanings)
        variables = {}
        for (name, meaning), column in zip(meanings.items(), columns, strict=True):
            values = np.array(column, dtype=np.float64 if name == "position" else np.int64)
            variables[f"group_{name}"] = ("group", values, {"long_name": meaning})
        return xr.Dataset(variables, {"group": list(self.members)})

    def coordinates(self) -> xr.Dataset:
        """Return the summary, and the tokens of the groups that were named, to be saved.

        ``member_token`` and ``member_group``, its place among the groups, are on ``member``; pairs
        of a word and its control are on ``pair`` instead, and the rest is what it is.
        """
        result = self.summary()
        if self.pairs is not None:
            result = result.merge(self.pairs.coordinates())
        known = {REST} if self.pairs is None else {REST, "target", "control"}
        names = [name for name in self.named if name not in known]
        if not names:
            return result
        sizes = [len(self[name]) for name in names]
        tokens = np.concatenate([self[name] for name in names])
        result["member_token"] = ("member", tokens, {"long_name": "index along the run's token"})
        places = np.repeat([list(self.members).index(name) for name in names], sizes)
        result["member_group"] = ("member", places, {"long_name": "its group, along `group`"})
        return result

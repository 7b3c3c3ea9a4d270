"""What a commit and a run may say: forms and bounds, held against each other before anything is read by them.

A checksum shows an accident, not a hand that seals what it altered. So offsets stay within the file, places do not overlap,
shapes agree with the unit, and names are names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from actlas.store.format.schema import NUMPY_VIEW, Commit, SiteLayout, StoredLabel, StoredSite, Unit
from actlas.store.labels.labels import TEXT_DIM, TOKEN_LABELS

if TYPE_CHECKING:
    from actlas.store.runs.joined import Joined

SITE = re.compile(r"[a-z][a-z0-9_]{0,63}")
DIGEST = re.compile(r"[0-9a-f]{16}")
DIGESTS = re.compile(r"[0-9a-f]*")
LABEL_DTYPE = re.compile(r"<[iu][248]|<f[48]|\|[iu]1|\|S1|\|b1")
LARGEST = 1 << 62
MOST_DIMS = 8

Place = tuple[int, int]  # first byte, byte after the last


def check_commit(commit: Commit) -> None:
    """Raise ValueError, saying what is wrong, unless ``commit`` speaks of places in its file that cannot mislead a reader."""
    check_unit(commit.unit)
    _want(
        _whole(commit.size) and _whole(commit.hdf5) and 0 < commit.hdf5 < commit.size,
        f"size {commit.size!r} with hdf5 {commit.hdf5!r}"[:100],
    )
    _want(
        isinstance(commit.provenance, dict) and isinstance(commit.edits, list),
        "provenance or edits",
    )
    _want(
        bool(DIGEST.fullmatch(str(commit.run)) and DIGEST.fullmatch(str(commit.rest))),
        "run or rest",
    )
    _check_shared(commit)
    lacking = {*TOKEN_LABELS, "row_size", "text"} ^ commit.labels.keys()
    _want(not lacking, f"labels with or without {', '.join(sorted(map(repr, lacking)))}"[:100])
    places = sorted([*_site_places(commit), *_label_places(commit)])
    _want(
        all(0 <= start <= end <= commit.hdf5 for start, end in places),
        f"a place outside the {commit.hdf5} bytes of its HDF5 part",
    )
    _want(all(one[1] <= other[0] for one, other in pairwise(places)), "variables that overlap")
    _check_bulk(commit)


def check_joined(joined: Joined) -> None:
    """Raise ValueError unless the record of a joined file is as sound as the commits that it stands for.

    Units are rows of the whole, one after the other: if the whole lies within the file, all of them do.
    """
    count = len(joined.units)
    for unit in joined.units:
        check_unit(unit)
    _want(count > 0 and all(_whole(index) and index < count for index in joined.gone), "units")
    for name, pool in joined.pools.items():
        members = joined.members[name]
        _want(isinstance(pool, list) and len(members) == count, f"members of {name}")
        _want(
            all(_whole(member) and member < len(pool) for member in members), f"members of {name}"
        )
    _want(
        all(
            isinstance(each, dict)
            for each in (*joined.pools["provenance"], *joined.pools["upstream"])
        ),
        "provenance",
    )
    _want(all(isinstance(each, list) for each in joined.pools["edits"]), "edits")
    _want(joined.checksums.keys() == joined.sites.keys(), "checksums")
    sites = {}
    for name, site in joined.sites.items():
        text = joined.checksums[name]
        _want(
            bool(DIGESTS.fullmatch(text)) and len(text) == 16 * site.layout.blocks * count,
            f"checksums of {name}"[:100],
        )
        sites[name] = StoredSite(
            site.layout,
            site.offset,
            tuple(text[16 * i : 16 * i + 16] for i in range(site.layout.blocks)),
        )
    labels = {}
    _want(joined.label_checksums.keys() == joined.labels.keys(), "checksums of labels")
    for name, label in joined.labels.items():
        text = joined.label_checksums[name]
        _want(
            bool(DIGESTS.fullmatch(text)) and len(text) == 16 * count, f"checksums of {name}"[:100]
        )
        labels[name] = replace(label, checksum=text[:16])
    unit = Unit(
        0,
        0,
        sum(unit.sentences for unit in joined.units),
        sum(unit.tokens for unit in joined.units),
    )
    for shared in joined.pools["shared"][:1]:
        whole = Commit(
            joined.run,
            unit,
            joined.file,
            joined.size,
            sites,
            labels,
            joined.rest,
            {},
            [],
            {},
            shared,
        )
        whole = replace(whole, hdf5=joined.hdf5)
        check_commit(whole)
        for other in joined.pools["shared"]:
            _check_shared(replace(whole, shared=other))


def _check_shared(commit: Commit) -> None:
    """Hold what a variant shares with its baseline against what it has itself: its own blocks follow."""
    _want(isinstance(commit.upstream, dict), "upstream")
    for name, shared in commit.shared.items():
        _want(
            bool(SITE.fullmatch(name) and DIGEST.fullmatch(str(shared.run)) and shared.checksums),
            f"shared {name!r}"[:100],
        )
        _want(
            all(
                isinstance(digest, str) and DIGEST.fullmatch(digest) for digest in shared.checksums
            ),
            f"checksums of {name}",
        )
    for name, site in commit.sites.items():
        before = len(commit.shared[name].checksums) if name in commit.shared else 0
        _want(
            site.layout.first == before,
            f"{name} from {site.layout.first!r} on, behind {before} blocks of the baseline,"[:150],
        )


def _check_bulk(commit: Commit) -> None:
    """Hold the spans of a file of several units against the file and the unit's own sites."""
    if not commit.bulk:
        return
    _want(all(_whole(start) and _whole(end) and start <= end for start, end in commit.bulk), "bulk")
    spans = sorted(commit.bulk)
    _want(
        all(one[1] <= other[0] for one, other in pairwise(spans)) and spans[-1][1] <= commit.size,
        "bulk",
    )
    places = (*_site_places(commit), *_label_places(commit))
    inside = [
        any(start <= place[0] and place[1] <= end for start, end in spans) for place in places
    ]
    _want(all(inside), "a site or label outside the spans of its file")


def check_units(units: Sequence[Unit]) -> None:
    """Raise ValueError unless ``units`` follow one another from the first sentence on."""
    first = 0
    for number, unit in enumerate(units):
        check_unit(unit)
        _want((unit.number, unit.first) == (number, first), f"unit {number} out of its place")
        first += unit.sentences


def check_unit(unit: Unit) -> None:
    """Raise ValueError unless all of a unit's numbers are numbers, and it has tokens."""
    numbers = (unit.number, unit.first, unit.sentences, unit.tokens)
    _want(all(map(_whole, numbers)) and 0 < unit.sentences <= unit.tokens, f"unit {numbers}"[:100])


def _site_places(commit: Commit) -> Iterator[Place]:
    for name, site in commit.sites.items():
        layout = site.layout
        _want(bool(SITE.fullmatch(name)) and layout.site == name, f"site {name!r}"[:100])
        _want(layout.dtype in NUMPY_VIEW, f"dtype of {name}")
        _check_shape(name, layout.dims, layout.shape)
        tokens = dict(zip(layout.dims, layout.shape, strict=True)).get("token")
        _want(tokens == commit.unit.tokens, f"{name} with {tokens} tokens")
        _want(isinstance(layout.description, str), f"description of {name}")
        _want(
            len(site.checksums) == layout.blocks,
            f"{len(site.checksums)} checksums for {layout.blocks} blocks of {name}",
        )
        _want(
            all(isinstance(digest, str) and DIGEST.fullmatch(digest) for digest in site.checksums),
            f"checksums of {name}",
        )
        block = nbytes(layout) // layout.blocks
        _want(
            _whole(site.stride) and (not site.stride or site.stride >= block), f"stride of {name}"
        )
        yield site.offset, site.offset + (layout.blocks - 1) * (site.stride or block) + block


def _label_places(commit: Commit) -> Iterator[Place]:
    for name, label in commit.labels.items():
        _want(bool(LABEL_DTYPE.fullmatch(str(label.dtype))), f"dtype of {name!r}"[:100])
        _check_shape(name, label.dims, label.shape)
        dim, count = (
            ("token", commit.unit.tokens)
            if name in TOKEN_LABELS
            else ("sentence", commit.unit.sentences)
        )
        _want(label.dims[0] == dim and label.shape[0] == count, f"shape of {name!r}"[:100])
        _want(len(label.shape) == (2 if _is_text(label) else 1), f"shape of {name!r}"[:100])
        _want((name == "text") <= (label.dims[-1] == TEXT_DIM), "dims of text")
        _want(bool(DIGEST.fullmatch(str(label.checksum))), f"checksum of {name}")
        yield label.offset, label.offset + label.nbytes


def nbytes(layout: SiteLayout) -> int:
    """Return the bytes of a site in Python's integers, which do not overflow."""
    return math.prod(layout.shape) * np.dtype(NUMPY_VIEW[layout.dtype]).itemsize


def _is_text(label: StoredLabel) -> bool:
    return label.dtype.endswith("S1")


def _check_shape(name: str, dims: Sequence[Any], shape: Sequence[Any]) -> None:
    sound = (
        0 < len(dims) == len(shape) <= MOST_DIMS
        and all(isinstance(dim, str) for dim in dims)
        and all(map(_whole, shape))
    )
    _want(sound and math.prod(shape) > 0, f"shape of {name!r}"[:100])


def _whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < LARGEST


def _want(sound: bool, what: str) -> None:
    if not sound:
        raise ValueError(f"{what} cannot be")

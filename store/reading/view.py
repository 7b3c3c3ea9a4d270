"""The lazy labelled view of a run.

A dask array for each site, labels as coordinates on the one axis of tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from dask.base import tokenize
from xarray.backends import BackendArray
from xarray.core import indexing

from actlas.store.errors import DamagedStore, UsageError
from actlas.store.format.parts import WHOLE, ranges
from actlas.store.format.schema import BLOCK_DIMS, Json
from actlas.store.labels import generated
from actlas.store.labels.labels import TOKEN_LABELS, KeptTokens, Labels
from actlas.store.labels.special import MEANING, SPECIAL, SpecialTokens
from actlas.store.labels.texts import StoredTexts
from actlas.store.reading.blocks import SiteBlocks, lazy_site
from actlas.store.reading.index import RunIndex
from actlas.store.reading.sentence_index import SentenceIndex
from actlas.store.reading.sources import OwnSources, Sources

# tokens whose texts and columns are spread over them at once: 8 MB each, as references
AT_ONCE = 1 << 20
MEANINGS = {"row_size": "tokens of the sentence", "text": "the sentence"}


class _Spread(BackendArray):
    """What is known of each sentence, on the tokens.

    It is read and repeated when it is asked for, as variables of a file are.
    """

    def __init__(
        self, values: Sequence[str] | npt.NDArray[Any], sentence: npt.NDArray[np.int32]
    ) -> None:
        self._values, self._sentence = values, sentence
        self.dtype = values.dtype if isinstance(values, np.ndarray) else np.dtype(object)
        self.shape = sentence.shape

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[int | slice | npt.NDArray[np.integer]]) -> Any:
        wanted = self._sentence[key[0]]
        if isinstance(self._values, np.ndarray):
            return self._values[wanted]
        if wanted.ndim == 0:
            return self._values[int(wanted)]
        numbers, places = np.unique(wanted, return_inverse=True)
        # a reference for each token, and each text once
        found = np.empty(len(numbers), dtype=object)
        found[:] = [self._values[number] for number in numbers.tolist()]
        return found[places]


def lazy_view(
    run: RunIndex,
    sources: Mapping[str, Sequence[Sources]],
    labels: Labels,
    sentences: str,
    special: SpecialTokens,
    prompts: npt.NDArray[np.int32] | None = None,
    *,
    check: bool,
) -> xr.Dataset:
    """Return complete sites as ``Run.dataset`` does.

    Raises DamagedStore where units do not fit together.

    sources: site → where its units lie. sentences: what the numbers of sentences mean.
    special: those around each. prompts: tokens of each sentence's prompt, where any has one.
    """
    numbers = _numbers(run, sources)
    # a chunk of no tokens would be none
    there = [number for number, size in enumerate(run.sizes) if size]
    tokens = tuple(run.sizes[number] for number in there)
    folder, variables = str(run.folder.resolve()), {}
    for site, units in sources.items():
        _check_alike(site, units)
        # the folder is part of the name: dask takes arrays of one name for the same, and stores are
        # there to be compared
        layout = units[0][-1].stored.layout
        kept = numbers.get(layout.dims[0], (0,))
        name = f"{site}-{tokenize(folder, site, run.digest, run.kept, kept, check)}"
        some = units if len(there) == len(units) else [units[number] for number in there]
        array = lazy_site(name, SiteBlocks(some, tokens, kept, check))
        variables[site] = xr.Variable(layout.dims, array, {"long_name": layout.description})
    _check_names(run, labels, variables)
    marked: KeptTokens | None = None
    if run.kept != WHOLE:
        mask = np.concatenate([run.mask(unit) for unit in run.units]).astype(np.int32)
        marked = KeptTokens(run.kept, (run.kept_text,), mask)
    view = label_view(replace(labels, kept=marked), special, prompts, (run.run, sentences))
    blocks = {dim: xr.Variable(dim, np.array(each)) for dim, each in numbers.items()}
    attributes = {"run": run.run, "name": run.name, **view.attrs}
    return view.assign(variables).assign_coords(blocks).assign_attrs(attributes)


def label_view(
    labels: Labels,
    special: SpecialTokens,
    prompts: npt.NDArray[np.int32] | None = None,
    names: tuple[str, str] = ("", ""),
) -> xr.Dataset:
    """Return the labels of the tokens that are kept, those of all in the index of ``sentence``.

    names: the id of the run, and what the numbers of its sentences mean.
    """
    every = token_coordinates(labels, special, prompts)
    coordinates, whole, attributes = dict(every), None, {}
    if labels.kept is not None:
        rows = np.flatnonzero(labels.kept.mask)
        whole = xr.Dataset(coords=every)
        coordinates = {name: label.isel(token=rows) for name, label in every.items()}
        attributes["tokens"] = " or ".join(labels.kept.tokens)
    index = SentenceIndex.of_tokens(coordinates["sentence"].values, *names, whole)
    indexed = index.create_variables({"sentence": coordinates.pop("sentence")})
    seen = xr.Dataset(coords=xr.Coordinates(indexed, {"sentence": index}), attrs=attributes)
    return seen.assign_coords(coordinates)


def model_attributes(description: Json, specification: Json) -> dict[str, str | int]:
    """Return what studies of a view need to know of its run, as netCDF takes it.

    ``law`` of the residual stream and whether the model is ``causal`` (1 or 0), ``dtype`` of the
    computation and ``stored_dtype``; what a record does not say is left out.
    """
    model, numerics = description.get("model"), specification.get("numerics")
    found: dict[str, str | int] = {}
    for record, names in ((model, ("law", "causal")), (numerics, ("dtype", "stored_dtype"))):
        for name in names:
            value = record.get(name) if isinstance(record, dict) else None
            if isinstance(value, str | bool):
                found[name] = int(value) if isinstance(value, bool) else value
    return found


def token_coordinates(
    labels: Labels, special: SpecialTokens, prompts: npt.NDArray[np.int32] | None = None
) -> dict[str, xr.Variable]:
    """Return all labels on ``token``: texts and columns as those of the token's sentence.

    Lazy where there are many tokens.
    """
    found = {
        name: xr.Variable("token", labels.token[name], {"long_name": meaning})
        for name, meaning in TOKEN_LABELS.items()
    }
    found[SPECIAL] = xr.Variable("token", special.among(labels.token), {"long_name": MEANING})
    sentence = labels.token["sentence"]
    if prompts is not None:
        written = generated.among(labels.token, prompts)
        found[generated.GENERATED] = xr.Variable("token", written, {"long_name": generated.MEANING})
    for name, values in {"text": _objects(labels.text), **labels.columns}.items():
        spread = _Spread(_objects(values), sentence)
        lazy = labels.tokens > AT_ONCE or isinstance(values, StoredTexts)
        described = {"long_name": "text of the token's sentence"} if name == "text" else {}
        found[name] = xr.Variable("token", indexing.LazilyIndexedArray(spread), described)
        if not lazy:
            found[name].load()
    for name, values in labels.token_columns.items():
        found[name] = xr.Variable("token", values, {"long_name": "label of the token"})
    return found


def sentence_labels(labels: Labels, prompts: npt.NDArray[np.int32] | None = None) -> xr.Dataset:
    """Return what is known of each sentence, on ``sentence``: ``text``.

    ``row_size``, ``prompt_tokens`` where a model extended them, and the input's columns.
    """
    text = _objects(labels.text)
    if not isinstance(text, np.ndarray):
        spread = _Spread(text, np.arange(len(text), dtype=np.int32))
        text = indexing.LazilyIndexedArray(spread)
    known = {"text": text, "row_size": labels.row_size, **labels.columns}
    if prompts is not None:
        known[generated.PROMPT_TOKENS] = prompts
    variables = {
        name: xr.Variable("sentence", _objects(values), _described(name))
        for name, values in known.items()
    }
    return xr.Dataset(
        variables, coords={"sentence": np.arange(len(labels.row_size), dtype=np.int32)}
    )


def _described(name: str) -> dict[str, str]:
    return {"long_name": MEANINGS[name]} if name in MEANINGS else {}


def _objects(values: Any) -> Any:
    """Return texts as objects.

    Characters of a fixed number would take the longest text's room for each token.
    """
    if isinstance(values, np.ndarray):
        return values.astype(object) if values.dtype.kind == "U" else values
    return (
        values
        if isinstance(values, StoredTexts | indexing.LazilyIndexedArray)
        else np.array(values, dtype=object)
    )


def _check_names(run: RunIndex, labels: Labels, variables: Mapping[str, xr.Variable]) -> None:
    """Raise DamagedStore for a column with the name of something else; extraction takes none."""
    dims = {dim for variable in variables.values() for dim in variable.dims}
    taken = {*variables, *TOKEN_LABELS, SPECIAL, "text", *dims}
    own = (*labels.columns, *labels.token_columns)
    clash = sorted(name for name in own if name in taken)
    if clash:
        raise DamagedStore(
            f"run {run.name} has a label column {clash[0]!r}, the name of a site, dim or label: "
            "extract it again"
        )


def _check_alike(site: str, units: Sequence[Sources]) -> None:
    """Raise DamagedStore unless the units' arrays of ``site`` make one."""
    first = units[0]
    for sources in units.kinds if isinstance(units, OwnSources) else units:
        same = (
            sources[-1].stored.layout is first[-1].stored.layout
            or sources[-1].stored.layout.form == first[-1].stored.layout.form
        )
        if not same:
            raise DamagedStore(
                f"{sources[-1].path} has {site} in another shape than {first[-1].path}: see "
                "`actlas show`"
            )


def _numbers(run: RunIndex, sources: Mapping[str, Sequence[Sources]]) -> dict[str, tuple[int, ...]]:
    """Return the layers and depths that all of the sites have, where some site has them.

    Raises UsageError where there is none.
    """
    of_sites: dict[str, dict[str, tuple[int, ...]]] = {}
    for site, units in sources.items():
        dim = units[0][-1].stored.layout.dims[0]
        if dim in BLOCK_DIMS:
            of_sites.setdefault(dim, {})[site] = run.numbers[site]
    found = {}
    for dim, held in of_sites.items():
        common = set.intersection(*(set(numbers) for numbers in held.values()))
        if not common:
            parts = ", ".join(f"{site} has {ranges(numbers)}" for site, numbers in held.items())
            raise UsageError(
                f"run {run.name} has no {dim} that all of these sites have ({parts}): "
                "read them one by one, or add what is missing (`actlas extract … --layers`)"
            )
        found[dim] = tuple(sorted(common))
    return found

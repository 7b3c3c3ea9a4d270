"""Direct logit attribution: what each part of the residual stream adds to a logit difference.

With the divisor σ of the final norm frozen, the logits are linear in what was added to the stream
(Elhage et al. 2021). For a direction w of the unembedding, c = gain ⊙ w, centred where the norm
centres, and a part x adds ⟨x, c⟩/σ. Nothing wider than d_model is made: output matrices of heads
are projected on c once for each answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.sentences import Indices
from actlas.analysis.lens.logits import Rows, deviation, normed
from actlas.store.readouts.readout import HeadReadout, Readout

Floats = npt.NDArray[np.float64]
ATTENTION, MLP, EDITED = "attention", "MLP", "edited layer"


@dataclass(frozen=True)
class Answers:
    """Which logit is looked at, of each token: an answer, and what it is compared with.

    tokens: indices along the run's ``token``, ascending. answer, against: ids of each; −1 in
    ``against`` where the logit itself is meant.
    """

    tokens: Indices
    answer: Indices
    against: Indices

    def among(self, tokens: Indices) -> Answers:
        """Return those whose tokens are among ``tokens``."""
        kept = np.isin(self.tokens, tokens)
        return Answers(self.tokens[kept], self.answer[kept], self.against[kept])

    def pairs(self) -> tuple[Indices, Indices]:
        """Return the different pairs (pair, 2), and which of them each token has (token,)."""
        both = np.stack([self.answer, self.against], axis=1)
        pairs, of_token = np.unique(both, axis=0, return_inverse=True)
        return pairs, of_token.reshape(-1)


class Directions:
    """Directions of the residual stream that move the logit differences of pairs of answers.

    An ordinary class: dask would look into a dataclass.
    """

    def __init__(self, readout: Readout, pairs: Indices) -> None:
        """Take the pairs (pair, 2) of ids."""
        self.readout = readout
        against = pairs[:, 1] >= 0
        rows = readout.unembed[pairs[:, 0]].astype(np.float64)
        rows -= np.where(against[:, np.newaxis], readout.unembed[pairs[:, 1]], 0)
        self.output: Floats = rows * readout.scale  # (pair, d_model), of the normed stream
        stream = self.output * readout.gain
        if readout.centred:
            stream -= stream.mean(-1, keepdims=True)
        self.stream: Floats = stream  # (pair, d_model), of what is added to the stream
        self.bias: Floats = np.zeros(len(pairs))
        if readout.shift is not None:
            self.bias += self.output @ readout.shift
        self.unembed_bias: Floats = np.zeros(len(pairs))
        if readout.bias is not None:
            of_against = np.where(against, readout.bias[pairs[:, 1]], 0)
            self.unembed_bias += readout.scale * (readout.bias[pairs[:, 0]] - of_against)
        self.bias += self.unembed_bias


def attribution(
    dataset: xr.Dataset,
    readout: Readout,
    answers: Answers,
    heads: HeadReadout | None = None,
    edited: Sequence[int] = (),
) -> xr.Dataset:
    """Return what each part adds to the logit difference of each token; lazy, float64.

    dataset: ``resid`` (depth, token, d_model), ``attn_out``, ``mlp_out`` (layer, token, d_model)
    of a model whose blocks are sums; with ``heads`` also ``z`` (layer, token, head, d_head).
    edited: layers whose output an edit replaced: there the step of the stream stands for both
    parts. Returns, on the tokens of ``answers``: ``embedding`` (token), ``attribution``
    (part, layer, token), ``bias`` (token), their sum ``total``, and ``logit_difference``, by the
    final norm and the unembedding, before a soft cap; ``head_attribution`` (layer, head, token)
    and ``head_bias`` (layer, token), which add up to the part of attention.
    """
    pairs, of_token = answers.pairs()
    directions = Directions(readout, pairs)
    chosen = {name: _plain(dataset[name]).isel(token=answers.tokens) for name in dataset}
    pair = xr.DataArray(of_token, dims="token")
    resid, sigma = chosen["resid"], divisors(dataset, directions, answers)
    project = partial(_projected, directions=directions)
    found = {
        name: _by_row(project, chosen[site], pair) / sigma
        for name, site in (("embedding", "resid"), (ATTENTION, "attn_out"), (MLP, "mlp_out"))
        if site != "resid"
    }
    stream = _by_row(project, resid, pair) / sigma  # (depth, token)
    parts = _parts(found, stream, edited)
    bias = xr.DataArray(directions.bias[of_token], dims="token")
    embedding = stream.isel(depth=0)
    difference = _by_row(partial(_difference, directions=directions), resid.isel(depth=-1), pair)
    result = {
        "embedding": embedding,
        "attribution": parts,
        "bias": bias,
        "total": embedding + parts.sum(("part", "layer")) + bias,
        "logit_difference": difference,
    }
    if heads is not None:
        result |= _of_heads(chosen["z"], heads, directions, pair, sigma)
    labelled = xr.Dataset({name: array.astype("float64") for name, array in result.items()})
    return labelled.assign_coords(_labels(dataset, answers))


def divisors(dataset: xr.Dataset, directions: Directions, answers: Answers) -> xr.DataArray:
    """Return what the final norm divides each token of ``answers`` by, (token,); lazy."""
    last = _plain(dataset["resid"]).isel(token=answers.tokens, depth=-1)
    pair = xr.DataArray(answers.pairs()[1], dims="token")
    return _by_row(partial(_deviation, directions=directions), last, pair)


def logit_differences(dataset: xr.Dataset, readout: Readout, answers: Answers) -> xr.DataArray:
    """Return the logit difference of each token of ``answers``, (token,), before a soft cap; lazy.

    dataset: ``resid`` (depth, token, d_model), whose last depth is read.
    """
    pairs, of_token = answers.pairs()
    last = _plain(dataset["resid"]).isel(token=answers.tokens, depth=-1)
    kernel = partial(_difference, directions=Directions(readout, pairs))
    return _by_row(kernel, last, xr.DataArray(of_token, dims="token"))


def _plain(array: xr.DataArray) -> xr.DataArray:
    return array.drop_vars(list(array.coords))


def _labels(dataset: xr.Dataset, answers: Answers) -> dict[str, tuple[str, npt.NDArray[np.int64]]]:
    names = ("sentence", "position", "token_id")
    found = {name: ("token", dataset[name].values[answers.tokens]) for name in names}
    found["index"] = ("token", answers.tokens)
    found["answer_id"] = ("token", answers.answer)
    found["against_id"] = ("token", answers.against)
    return found


def _parts(
    found: dict[str, xr.DataArray], stream: xr.DataArray, edited: Sequence[int]
) -> xr.DataArray:
    """Return (part, layer, token), with a part for edited layers where there are any."""
    layers = found[ATTENTION].sizes["layer"]
    changed = xr.DataArray(np.isin(np.arange(layers), list(edited)), dims="layer")
    parts = {name: array.where(~changed, 0.0) for name, array in found.items()}
    if edited:
        after, before = (
            stream.isel(depth=part).rename(depth="layer") for part in (slice(1, None), slice(-1))
        )
        parts[EDITED] = (after - before).where(changed, 0.0)
    whole = xr.concat(list(parts.values()), xr.Variable("part", list(parts)))
    return whole.transpose("part", "layer", "token").assign_coords(layer=np.arange(layers))


def _by_row(kernel: Callable[..., Floats], rows: xr.DataArray, pair: xr.DataArray) -> xr.DataArray:
    """Return a number for each vector of ``rows`` (…, token, d_model); ``pair`` is the token's."""
    found: xr.DataArray = xr.apply_ufunc(
        kernel,
        rows,
        pair,
        input_core_dims=[["d_model"], []],
        dask="parallelized",
        output_dtypes=[np.float64],
    )
    return found


def _projected(rows: Rows, pair: Indices, *, directions: Directions) -> Floats:
    return _picked(rows.astype(np.float64) @ directions.stream.T, pair)


def _deviation(rows: Rows, pair: Indices, *, directions: Directions) -> Floats:
    return deviation(directions.readout, rows)


def _difference(rows: Rows, pair: Indices, *, directions: Directions) -> Floats:
    each = normed(directions.readout, rows.reshape(-1, rows.shape[-1]))
    logits = each.astype(np.float64) @ directions.output.T + directions.unembed_bias
    return _picked(logits.reshape(*rows.shape[:-1], -1), pair)


def _picked(values: Floats, pair: Indices) -> Floats:
    """Return of values (…, token, pair) that of the token's own pair, (…, token)."""
    places = np.broadcast_to(pair, values.shape[:-1])[..., np.newaxis]
    found: Floats = np.take_along_axis(values, places, -1)[..., 0]
    return found


def _of_heads(
    z: xr.DataArray,
    heads: HeadReadout,
    directions: Directions,
    pair: xr.DataArray,
    sigma: xr.DataArray,
) -> dict[str, xr.DataArray]:
    """Return what each head adds, and what attention adds whatever it sees."""
    layers = xr.DataArray(np.arange(z.sizes["layer"]), dims="layer")
    projected = _Projected(heads, directions)
    if z.chunks:
        layers = layers.chunk(1)
    found = xr.apply_ufunc(
        partial(_heads, projected=projected),
        layers,
        z,
        pair,
        input_core_dims=[[], ["head", "d_head"], []],
        output_core_dims=[["head"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"allow_rechunk": True},
    )
    biases = np.zeros((z.sizes["layer"], len(directions.stream)))
    for layer in range(len(biases)):
        b_o = heads.b_o(layer)
        if b_o is not None:
            biases[layer] = directions.stream @ b_o
    bias = xr.DataArray(biases[:, pair.values], dims=("layer", "token"))
    by_head = (found / sigma).transpose("layer", "head", "token")
    return {"head_attribution": by_head, "head_bias": bias / sigma}


class _Projected:
    """Output matrices of heads on the directions, layer by layer: (head, d_head, pair)."""

    def __init__(self, heads: HeadReadout, directions: Directions) -> None:
        self._heads, self._directions = heads, directions
        self._found: dict[int, Floats] = {}

    def of(self, layer: int) -> Floats:
        """Return those of a layer."""
        if layer not in self._found:
            matrices = self._heads.w_o(layer).astype(np.float64)
            self._found[layer] = matrices @ self._directions.stream.T
        return self._found[layer]


def _heads(layers: Indices, z: Rows, pair: Indices, *, projected: _Projected) -> Floats:
    """Return (layer, token, head) of z (layer, token, head, d_head)."""
    numbers = np.broadcast_to(layers, z.shape[:1] + (1,) * (layers.ndim - 1)).reshape(-1)
    found = np.empty(z.shape[:-1])
    for place, layer in enumerate(numbers.tolist()):
        # (head, token, d_head) @ (head, d_head, pair)
        each = z[place].astype(np.float64).transpose(1, 0, 2) @ projected.of(layer)
        found[place] = _picked(each, pair.reshape(-1)).T
    return found

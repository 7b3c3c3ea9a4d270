"""What hypothesis draws.

Activations as the store gives them, and sentences with a word to look for.
"""

import numpy as np
import xarray as xr
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

finite = st.floats(-1e3, 1e3, width=32)


@st.composite
def activations(draw):
    """Return (layer, token, head, d_head) float32, sizes all drawn."""
    count = draw(st.integers(2, 9))
    shape = (draw(st.integers(1, 3)), count, draw(st.integers(1, 3)), draw(st.integers(1, 4)))
    values = draw(hnp.arrays(np.float32, shape, elements=finite))
    return xr.DataArray(
        values, dims=("layer", "token", "head", "d_head"), coords={"layer": np.arange(shape[0])}
    )


@st.composite
def projections(draw):
    """Return ``q``, ``k``, ``v`` (layer, token, head, d_head) of odd sizes.

    Some columns zero or constant; 4 tokens or more; keys and values may have fewer heads.
    """
    sizes = [
        draw(st.integers(1, 2)),
        2 * draw(st.integers(2, 5)),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 4)),
    ]
    values = draw(hnp.arrays(np.float32, (3, *sizes), elements=st.one_of(finite, st.just(0.0))))
    values[np.abs(values) < 1e-30] = 0  # squares of denormals are another matter
    if draw(st.booleans()):
        values[draw(st.integers(0, 2)), :, :, 0, 0] = draw(st.sampled_from([0.0, 1.0, 3.3]))
    return grouped(values, draw(st.integers(1, sizes[2])))


def grouped(values, kv_heads):
    """Return ``q``, ``k``, ``v`` of (projection, layer, token, head, d_head).

    Only the first ``kv_heads`` heads of the latter two, on ``kv_head`` where these are fewer.
    """
    dims, heads = {"q": "head"}, {"q": values.shape[3]}
    for name in "kv":
        dims[name] = "head" if kv_heads == heads["q"] else "kv_head"
        heads[name] = kv_heads
    variables = {}
    for name, part in zip("qkv", values, strict=True):
        variables[name] = (("layer", "token", dims[name], "d_head"), part[:, :, : heads[name]])
    return xr.Dataset(variables, coords={"layer": np.arange(values.shape[1])})


WORDS = ("Mary", "saw", "her", "Her", "there", "cup", "herself", "hers", "a", "the", "in")


@st.composite
def labelled_sentences(draw):
    """Return sentences of WORDS as labels: a token a word, the space before it part of it."""
    sentences = draw(
        st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9), min_size=1, max_size=6)
    )
    return labels([" ".join(words) for words in sentences])


def labels(texts):
    """Return the labels of ``texts`` with a token a word, as a Dataset like ``Run.dataset()``'s."""
    columns = {"sentence": [], "position": [], "char_start": [], "char_end": []}
    for sentence, text in enumerate(texts):
        start = 0
        for position, word in enumerate(text.split(" ")):
            end = start + len(word) + (position > 0)
            for name, value in zip(columns, (sentence, position, start, end), strict=True):
                columns[name].append(value)
            start = end
    coords = {name: ("token", np.array(values)) for name, values in columns.items()}
    of_token = np.array(texts, dtype=object)[columns["sentence"]]
    return xr.Dataset(coords={**coords, "text": ("token", of_token)})


#: outliers of the residual stream beside its smallest values
mixed = st.one_of(
    st.floats(-1e4, 1e4, width=32),
    st.floats(-(2.0**-10), 2.0**-10, width=32),
    st.sampled_from([1e4, -1e4, 1e-3, 0.0]),
)


@st.composite
def residuals(draw):
    """Return (depth, token, d_model) float32, magnitudes mixed, sizes all drawn.

    Two depths at least.
    """
    shape = (draw(st.integers(2, 4)), draw(st.integers(1, 9)), draw(st.integers(1, 5)))
    values = draw(hnp.arrays(np.float32, shape, elements=mixed))
    values[np.abs(values) < 1e-30] = 0  # squares of denormals are another matter
    return xr.DataArray(
        values, dims=("depth", "token", "d_model"), coords={"depth": np.arange(shape[0])}
    )


@st.composite
def splits(draw, total):
    """Return a way to cut ``total`` tokens into units."""
    cuts = sorted(draw(st.sets(st.integers(1, total - 1)))) if total > 1 else []
    return tuple(np.diff([0, *cuts, total]).tolist())

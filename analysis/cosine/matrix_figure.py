"""Study 1, the picture of all cosines of a layer: ordered within heads, its upper triangle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from actlas.analysis.data.sites import heads_in_words
from actlas.analysis.plots.marks import DIVERGING
from actlas.analysis.plots.sheet import Room, Sheet
from actlas.analysis.plots.style import GREY, group_label, house_style, shown

Matrix = npt.NDArray[np.float32]
MOST_GROUPS = 3  # of a figure
LARGEST_PICTURE = 300  # features a side of the picture; more are averaged
LEVELS = 33  # of cosines from -1 to 1
MOST_HEADS = 12  # of a projection whose heads are outlined
# of a block's name in points, by the share of the matrix that the block has
LETTERS, SMALLEST_LETTERS, LARGEST_LETTERS = 55, 5, 10
NARROW = 0.06  # share of the matrix whose ends are too near to each other for two numbers


@house_style()
def cosine_matrix(matrix: xr.DataArray, word: str | None) -> Figure:
    """The matrix of one layer, group beside group, and the difference of two groups.

    matrix: (group, feature, other), of ``cosine.compute.cosine_matrix`` at one layer, labels of its
    features included. Within each head, features are ordered by the first principal axis of the
    first group's cosines, for all groups alike. The lower triangle, which says the same again, is
    left out. Undefined cosines are grey. Computed group by group; with more than LARGEST_PICTURE
    features squares of them are averaged.
    """
    groups = [str(group) for group in matrix["group"].values][:MOST_GROUPS]
    pictures, order, step = [], None, 1
    for group in groups:
        values = matrix.sel(group=group).transpose("feature", "other").values
        order = order_within_heads(values, _head_edges(matrix)) if order is None else order
        step = -(-len(values) // LARGEST_PICTURE)
        pictures.append(_averaged(values[np.ix_(order, order)], step))
    titles = [group_label(group, word) for group in groups]
    if len(groups) == 2:
        pictures.append(pictures[0] - pictures[1])
        titles.append(" − ".join(shown(group, 16) for group in groups))
    room = Room(width=2.9, height=2.9, left=0.7, bottom=0.55)
    sheet = Sheet(1, len(pictures), room, sharex=True, sharey=True)
    for panel, picture, title in zip(sheet.flat, pictures, titles, strict=True):
        image = _draw(panel, picture, step)
        _outline(panel, matrix)
        panel.set_title(shown(title, 44))
        panel.set_xlabel("feature")
    _ticks(sheet.flat[0], _edges(matrix))
    sheet.flat[0].set_ylabel("feature")
    sheet.bar(image, "cosine over contexts" + (", difference" if len(groups) == 2 else ""))
    heads = heads_in_words(_heads(matrix))
    note = f" ({heads})" if heads else ""
    return sheet.done(
        f"Layer {int(matrix['layer'])}: features head by head{note}, alike ones side by side"
    )


def order_within_heads(values: Matrix, edges: Sequence[int]) -> npt.NDArray[np.intp]:
    """Return the order of features in which those of a head lie by its first principal axis.

    values: (feature, other) cosines. edges: where heads begin, and where the last of them ends.
    """
    places = []
    for start, end in pairwise(edges):
        block = np.nan_to_num(values[start:end, start:end]).astype(np.float64)
        axis = np.linalg.eigh((block + block.T) / 2)[1][:, -1]
        places.append(start + np.argsort(axis * np.sign(axis.sum() or 1.0), kind="stable"))
    return np.concatenate(places)


def _draw(panel: Axes, picture: Matrix, step: int) -> AxesImage:
    size = len(picture) * step
    below = np.tril(np.ones(picture.shape, bool), -1)
    undefined = np.isnan(picture) & ~below
    style: dict[str, Any] = {
        "extent": (0, size, size, 0),
        "interpolation": "none",
        "aspect": "equal",
    }
    if undefined.any():
        grey = np.zeros((*picture.shape, 4), np.float32)
        grey[undefined] = (0.6, 0.6, 0.6, 1)
        panel.imshow(grey, origin="upper", **style)
    upper = np.ma.masked_array(picture, below | undefined)
    for side in ("left", "bottom"):
        panel.spines[side].set_visible(False)
    panel.tick_params(length=0)
    # few colours: a picture of noise is as large as it has colours
    colours = mpl.colormaps[DIVERGING].resampled(LEVELS)
    return panel.imshow(upper, cmap=colours, vmin=-1, vmax=1, origin="upper", **style)


def _outline(panel: Axes, matrix: xr.DataArray) -> None:
    """Draw what each block covers, with its name, and the heads where they are few."""
    edges, heads = _edges(matrix), _head_edges(matrix)
    if len(heads) <= 3 * MOST_HEADS + 1:
        _staircase(panel, heads, heads, linewidth=0.3, color=GREY)
    _staircase(panel, edges, edges, linewidth=1.0, color="black")
    for (row, column), (left, right), (top, bottom) in _blocks(edges):
        # grouped-query attention has narrow blocks of keys and values
        size = LETTERS * min(right - left, bottom - top) / edges[-1]
        if size < SMALLEST_LETTERS:
            continue
        x, y = (0.7, 0.3) if row == column else (0.5, 0.5)
        panel.text(
            left + (right - left) * x,
            top + (bottom - top) * y,
            f"{'QKV'[row]}{'QKV'[column]}",
            ha="center",
            va="center",
            fontsize=min(size, LARGEST_LETTERS),
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1.5},
        )


def _staircase(panel: Axes, rows: Sequence[int], columns: Sequence[int], **style: Any) -> None:
    """Draw lines between blocks, above the diagonal."""
    last = columns[-1]
    panel.hlines(rows[:-1], rows[:-1], last, **style)
    panel.vlines(columns[1:], 0, columns[1:], **style)
    panel.plot([0, last], [0, last], **style)


def _blocks(
    edges: Sequence[int],
) -> Iterator[tuple[tuple[int, int], tuple[int, int], tuple[int, int]]]:
    """Yield row and column of each block, and where it lies from left to right, top to bottom."""
    for row in range(3):
        for column in range(row, 3):
            left, right = edges[column : column + 2]
            top, bottom = edges[row : row + 2]
            yield (row, column), (left, right), (top, bottom)


def _ticks(panel: Axes, edges: Sequence[int]) -> None:
    narrow = edges[2] - edges[1] < NARROW * edges[-1]
    ticks = [edge for edge in edges if not narrow or edge != edges[2]]
    panel.set_xticks(ticks, [str(edge) for edge in ticks])
    panel.set_yticks(ticks, [str(edge) for edge in ticks])


def _averaged(values: Matrix, step: int) -> Matrix:
    """Return the means of squares of ``step`` features a side; what is left over is cut off."""
    if step == 1:
        return values
    cut = len(values) // step * step
    squares = values[:cut, :cut].reshape(cut // step, step, cut // step, step)
    averaged: Matrix = squares.mean((1, 3))
    return averaged


def _edges(matrix: xr.DataArray) -> list[int]:
    """Return where the features of Q, K and V begin, and where the last of them end."""
    projection = matrix["projection"].values
    counts = [int((projection == name).sum()) for name in "qkv"]
    return [0, *np.cumsum(counts).tolist()]


def _head_edges(matrix: xr.DataArray) -> list[int]:
    """Return where the features of each head begin, and where the last of them end."""
    projection, head = matrix["projection"].values, matrix["head"].values
    new = (projection[1:] != projection[:-1]) | (head[1:] != head[:-1])
    return [0, *(np.flatnonzero(new) + 1).tolist(), len(head)]


def _heads(matrix: xr.DataArray) -> dict[str, int]:
    """Return how many heads each projection has."""
    projection, head = matrix["projection"].values, matrix["head"].values
    return {name: len(np.unique(head[projection == name])) for name in "qkv"}

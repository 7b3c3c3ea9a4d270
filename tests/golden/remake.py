"""The golden stores.

Small stores of format version 1, kept as files, that every later version must open.

``python -m tests.golden.remake`` makes them again. That is right only before a version of the
format is released: afterwards a store that no longer opens is a bug of the reader.
"""

import shutil
from functools import cached_property
from pathlib import Path

import numpy as np

from actlas.store import Store
from actlas.store.labels.labels import TOKEN_LABELS, Labels
from actlas.store.writing.pack import pack
from tests.store.making import DIMS, Content, make_run, make_variant, write_unit

FOLDER = Path(__file__).parent
DTYPES = ("float32", "float16", "bfloat16")
SITES = {"resid": "float32", "q": "float32", "nll": "float32"}
ADDED = "final_norm"
NAME = "golden"
TEXTS = ("We saw her.", "naïve 日本 🙂", "x")


class Golden(Content):
    """Content by arithmetic, of numbers that every stored dtype holds exactly.

    Nothing in it depends on a library.
    """

    @cached_property
    def values(self) -> dict[str, np.ndarray]:
        """Site → eighths between -6 and 6, in an order that repeats nowhere soon.

        Negative seeds turn the signs.
        """
        sign = -1 if self.seed < 0 else 1
        sizes = {**self.sizes, "token": self.labels.tokens}
        shapes = {site: [sizes[dim] for dim in DIMS[site]] for site in self.dtypes}
        return {
            site: (sign * (np.arange(np.prod(shape)) * 37 % 97 - 48) / 8)
            .astype(np.float32)
            .reshape(shape)
            for site, shape in shapes.items()
        }

    @cached_property
    def labels(self) -> Labels:
        """Labels with a column of each kind."""
        rows = np.array([row for unit in self.units for row in unit], dtype=np.int32)
        tokens = int(rows.sum())
        token = {
            name: np.arange(tokens, dtype=np.int32) * (number + 3)
            for number, name in enumerate(TOKEN_LABELS)
        }
        token["sentence"] = np.repeat(np.arange(len(rows), dtype=np.int32), rows)
        token["position"] = np.concatenate([np.arange(row, dtype=np.int32) for row in rows])
        columns = {
            "year": np.array([-5, 0, 1999]),
            "score": np.array([0.5, np.nan, -np.inf]),
            "origin": np.array(["", "café", "book"]),
            "asked": np.array([0, 1, 1], dtype=np.uint8),
        }
        return Labels(token, rows, TEXTS, columns)


def golden(dtype: str) -> Golden:
    """Return what the golden store of a dtype holds.

    Two units, one site added in a second shard.
    """
    return Golden(units=((3, 4), (1,)), dtypes={**SITES, "resid": dtype, "q": dtype, ADDED: dtype})


def packed() -> Golden:
    """Return what the golden store of units in one file holds."""
    return Golden(units=((3, 4), (1,)), dtypes={**SITES, "q": "float16"})


def before() -> Golden:
    """Return what the baseline in the golden store of a variant holds."""
    return Golden(units=((3, 4, 1),), dtypes=SITES)


def after() -> Golden:
    """Return what the variant there has from ``FIRST`` on."""
    return Golden(units=((3, 4, 1),), dtypes=SITES, seed=-1)


def remake() -> None:
    """Write all golden stores."""
    _remake_each_dtype()
    path = FOLDER / "version-1-packed"
    shutil.rmtree(path, ignore_errors=True)
    run = make_run(path, packed(), NAME)
    pack(run)
    shutil.rmtree(run.folder / "tmp")
    path = FOLDER / "version-1-variant"
    shutil.rmtree(path, ignore_errors=True)
    baseline = make_run(path, before(), edits=[])
    run = Store(path).name(make_variant(path, baseline, after()), NAME)
    for each in (baseline, run):
        shutil.rmtree(each.folder / "tmp")
    for path in FOLDER.rglob("lock"):
        path.unlink()


def _remake_each_dtype() -> None:
    for dtype in DTYPES:
        path, content = FOLDER / f"version-1-{dtype}", golden(dtype)
        shutil.rmtree(path, ignore_errors=True)
        run = make_run(path, content, NAME, tuple(SITES), stored_dtype=dtype)
        for unit in content.plan:
            write_unit(run, content, unit.number, (ADDED,))
        shutil.rmtree(run.folder / "tmp")
        print(
            path,
            sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
            Store(path).run(NAME),
        )


if __name__ == "__main__":
    remake()

"""Small real stores with random content, written the way extraction writes them.

Without a model.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from actlas.store import Run, Store
from actlas.store.format.parts import SitePart
from actlas.store.format.pools import Origin
from actlas.store.format.schema import BLOCK_DIMS, NUMPY_VIEW, SharedSite, SiteLayout, Unit, stem
from actlas.store.io.workspace import workspace
from actlas.store.labels.labels import TOKEN_LABELS, Labels
from actlas.store.maintenance.verify import verify
from actlas.store.reading.sources import sources_of
from actlas.store.runs.commits import publish
from actlas.store.writing.shard import ShardRecord, ShardWriter

SIZES = {"depth": 4, "layer": 3, "head": 2, "kv_head": 2, "d_head": 5, "d_model": 7}
DIMS = {
    "resid": ("depth", "token", "d_model"),
    "q": ("layer", "token", "head", "d_head"),
    "k": ("layer", "token", "kv_head", "d_head"),
    "v": ("layer", "token", "kv_head", "d_head"),
    "z": ("layer", "token", "head", "d_head"),
    "resid_mid": ("layer", "token", "d_model"),
    "attn_out": ("layer", "token", "d_model"),
    "mlp_out": ("layer", "token", "d_model"),
    "final_norm": ("token", "d_model"),
    "nll": ("token",),
}
DTYPES = {
    "resid": "float32",
    "q": "float16",
    "attn_out": "bfloat16",
    "final_norm": "float32",
    "nll": "float32",
}
SKIP = {"kind": "skip", "site": "resid", "depth": 2}  # block 1
FIRST = {"layer": 1, "depth": 2}  # where variants begin
WORDS = ("her", "naïve", "日本", "Zürich's", "🙂", "x")


@dataclass(frozen=True)
class Content:
    """What a run is to hold: ``units`` are the tokens of each sentence, unit by unit."""

    units: tuple[tuple[int, ...], ...] = ((3, 1, 4), (2,), (1, 5))
    dtypes: Mapping[str, str] = None
    sizes: Mapping[str, int] = None
    seed: int = 0

    @property
    def description(self) -> dict:
        """What the run's record says beside when it was created."""
        return {}

    def dims(self, site: str) -> tuple[str, ...]:
        """Dims of a site: keys and values have their own heads where these are fewer."""
        shared = self.sizes["kv_head"] == self.sizes["head"]
        return tuple("head" if shared and dim == "kv_head" else dim for dim in DIMS[site])

    def __post_init__(self):
        object.__setattr__(self, "dtypes", dict(self.dtypes or DTYPES))
        object.__setattr__(self, "sizes", {**SIZES, **(self.sizes or {})})

    @cached_property
    def values(self) -> dict[str, np.ndarray]:
        """Site → float32 over the whole run, in the precision it is stored with."""
        random = np.random.default_rng(self.seed)
        sizes = {**self.sizes, "token": self.labels.tokens}
        raw = {
            site: random.normal(size=[sizes[dim] for dim in DIMS[site]]).astype(np.float32)
            for site in self.dtypes
        }
        return {site: as_stored(values, self.dtypes[site]) for site, values in raw.items()}

    @cached_property
    def labels(self) -> Labels:
        """Labels of the whole run, with columns of integers, floats and text."""
        random = np.random.default_rng(self.seed)
        rows = np.array([row for unit in self.units for row in unit], dtype=np.int32)
        count, tokens = len(rows), int(rows.sum())
        token = {name: random.integers(0, 50_000, tokens, dtype=np.int32) for name in TOKEN_LABELS}
        token["sentence"] = np.repeat(np.arange(count, dtype=np.int32), rows)
        token["position"] = np.concatenate([np.arange(row, dtype=np.int32) for row in rows])
        text = tuple(" ".join(random.choice(WORDS, row)) for row in rows)
        columns = {
            "year": random.integers(-5, 2000, count),
            "score": random.normal(size=count),
            "origin": random.choice(np.array(["", "café", "book"]), count),
        }
        return Labels(token, rows, text, columns)

    @cached_property
    def plan(self) -> tuple[Unit, ...]:
        """Units as a run plans them."""
        firsts = np.cumsum([0, *map(len, self.units)])
        return tuple(
            Unit(i, int(firsts[i]), len(rows), sum(rows)) for i, rows in enumerate(self.units)
        )

    def rows(self, unit: Unit) -> slice:
        """Tokens of a unit."""
        first = sum(other.tokens for other in self.plan[: unit.number])
        return slice(first, first + unit.tokens)


def as_stored(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return float32 values that ``dtype`` holds exactly."""
    return widened(narrowed(values, dtype), dtype)


def narrowed(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return the bits that a shard stores."""
    if dtype == "bfloat16":
        return (np.ascontiguousarray(values).view(np.uint32) >> 16).astype(np.uint16)
    return np.ascontiguousarray(values).astype(NUMPY_VIEW[dtype])


def widened(stored: np.ndarray, dtype: str) -> np.ndarray:
    """Undo ``narrowed``."""
    return (
        (stored.astype(np.uint32) << 16).view(np.float32)
        if dtype == "bfloat16"
        else stored.astype(np.float32)
    )


def layouts(content: Content, unit: Unit, sites: Iterable[str]) -> list[SiteLayout]:
    """Return the layouts of ``sites`` in one unit."""
    sizes = {**content.sizes, "token": unit.tokens}
    return [
        SiteLayout(
            site,
            content.dims(site),
            tuple(sizes[dim] for dim in content.dims(site)),
            content.dtypes[site],
            f"the {site}",
        )
        for site in sites
    ]


def parts(content: Content, sites: Iterable[str]) -> list[SitePart]:
    """Return ``sites`` with all their layers or depths."""
    return [layout.part for layout in layouts(content, content.plan[0], sites)]


def open_shard(path, content: Content, unit: Unit, sites: Iterable[str]) -> ShardWriter:
    """Return a writer with nothing written yet."""
    labels = content.labels.sentences(unit.first, unit.sentences)
    return ShardWriter(
        path, layouts(content, unit, sites), labels, {"actlas_unit": str(unit.number)}
    )


def fill(writer: ShardWriter, content: Content, unit: Unit, sites: Iterable[str]) -> ShardRecord:
    """Write every row, sentence by sentence, two buffers at a time, and finish."""
    cuts = np.cumsum([0, *content.units[unit.number]])
    for layout in layouts(content, unit, sites):
        values = content.values[layout.site]
        # (block, token, …)
        whole = values if layout.blocks > 1 or layout.dims[0] != "token" else values[np.newaxis]
        for block in range(layout.blocks):
            stored = narrowed(whole[block, content.rows(unit)], layout.dtype)
            for first, last in pairwise(cuts):
                writer.write(
                    layout.site,
                    block,
                    last - first,
                    [stored[first : first + 1], stored[first + 1 : last]][: last - first],
                )
    return writer.finish()


def write_unit(run: Run, content: Content, number: int, sites: Sequence[str]) -> bool:
    """Write and commit ``sites`` of a unit; False where another was first."""
    unit = content.plan[number]
    with workspace(run.folder) as work:
        path = work.folder / f"{stem(number, parts(content, sites))}-{work.token}.h5"
        writer = open_shard(path, content, unit, sites)
        record = fill(writer, content, unit, sites)
        commit = record.commit(run.id, unit, path.name, Origin({"by": "a test"}))
        return publish(run.folder, writer, commit)


def begin_run(path, content: Content, name: str | None = None, **specification) -> Run:
    """Return a run that has no commits."""
    store = Store.create(path)
    run = store.add(
        {"seed": 0, **specification},
        {"created": "2026-01-01", **content.description},
        content.plan,
        content.labels.columns,
    )
    return store.name(run, name) if name else run


def make_run(
    path, content: Content, name: str | None = None, sites: Sequence[str] = (), **specification
) -> Run:
    """Return a complete run of a store at ``path``."""
    run = begin_run(path, content, name, **specification)
    for unit in content.plan:
        write_unit(run, content, unit.number, sites or tuple(content.dtypes))
    run.refresh()
    return run


def make_variant(
    path,
    baseline: Run,
    after: Content,
    first: Mapping[str, int] = FIRST,
    edits: Sequence[Mapping] = (SKIP,),
) -> Run:
    """Return a run with the blocks of ``baseline`` before ``first`` and those of ``after`` then."""
    store = Store(path)
    run = store.add(
        {**baseline.specification, "edits": [*edits]},
        {"created": "2026-01-02", **after.description},
        after.plan,
    )
    for unit in after.plan:
        own, shared = [], {}
        for layout in layouts(after, unit, after.dtypes):
            start = first.get(layout.dims[0], 0)
            if start < layout.blocks or layout.dims[0] not in BLOCK_DIMS:
                own.append(layout.take(layout.numbers[start:]))
            if start:
                stored = sources_of(baseline.index, unit, layout.site)[0].stored
                numbers = layout.numbers[:start]
                shared[layout.site] = SharedSite(baseline.id, numbers, stored.checksums[:start])
        with workspace(run.folder) as work:
            shard = work.folder / f"{unit.number:08d}-{work.token}.h5"
            labels = after.labels.sentences(unit.first, unit.sentences)
            writer = ShardWriter(shard, own, labels, {})
            for layout in own:
                values = after.values[layout.site]
                for block in layout.numbers:
                    of_block = values[block] if layout.dims[0] in BLOCK_DIMS else values
                    stored = [narrowed(of_block[after.rows(unit)], layout.dtype)]
                    writer.write(layout.site, block, unit.tokens, stored)
            record = writer.finish()
            commit = record.commit(
                run.id, unit, shard.name, Origin({"by": "a test"}, shared=shared)
            )
            assert publish(run.folder, writer, commit)
    run.refresh()
    return run


def shards(run: Run) -> list:
    """Return the run's shards, in order of their units."""
    return [run.path(commit) for commit in run.commits]


def flip(path, position: int, bit: int = 0) -> None:
    """Flip one bit of a committed file."""
    with contextlib.suppress(OSError):  # some file systems have no modes
        path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1 << bit]))


def contents() -> st.SearchStrategy[Content]:
    """Draw content of any units, sizes and dtypes."""
    units = st.lists(
        st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple), min_size=1, max_size=4
    ).map(tuple)
    dtypes = st.dictionaries(
        st.sampled_from(list(DTYPES)), st.sampled_from(list(NUMPY_VIEW)), min_size=1
    )
    sizes = st.fixed_dictionaries({name: st.integers(1, 5) for name in SIZES})
    return st.builds(Content, units=units, dtypes=dtypes, sizes=sizes, seed=st.integers(0, 99))


def problems(run) -> list[str]:
    """Return what ``verify`` finds in a run."""
    return [problem for checked in verify(run) for problem in checked.problems]

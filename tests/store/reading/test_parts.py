"""Runs that hold some layers or depths of their sites, in one shard of a unit or in several."""

import runpy
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.store import IncompleteRun, Store, UsageError
from actlas.store.format.parts import SitePart, parts_of, ranges, together, without
from actlas.store.format.pools import Origin
from actlas.store.format.schema import BLOCK_DIMS
from actlas.store.io.workspace import workspace
from actlas.store.maintenance.repair import repair
from actlas.store.maintenance.verify import verify
from actlas.store.runs.commits import publish
from actlas.store.writing.export import export
from actlas.store.writing.pack import pack
from actlas.store.writing.selection import Selection
from actlas.store.writing.shard import ShardWriter
from tests.store.making import Content, begin_run, flip, layouts, narrowed, problems
from tests.store.test_golden import READER

DTYPES = {"resid": "float32", "q": "float16", "nll": "float32"}
DIMS = {"resid": ("depth", 4), "q": ("layer", 3)}
numbers_of = st.fixed_dictionaries(
    {site: st.sets(st.integers(0, count - 1), min_size=1) for site, (_, count) in DIMS.items()}
)


def kept(resid, q):
    return [SitePart("resid", resid), SitePart("q", q), SitePart("nll", (0,))]


def write_parts(run, content, number, kept):
    """Write and commit some layers or depths of sites of a unit as one shard."""
    unit = content.plan[number]
    taken = [
        layout.take(part.numbers) for part in kept for layout in layouts(content, unit, [part.site])
    ]
    labels = content.labels.sentences(unit.first, unit.sentences)
    with workspace(run.folder) as work:
        path = work.folder / f"{unit.number:08d}-{work.token}.h5"
        writer = ShardWriter(path, taken, labels, {})
        for layout in taken:
            for block in layout.numbers:
                values = content.values[layout.site]
                of_block = values[block] if layout.dims[0] in BLOCK_DIMS else values
                stored = narrowed(of_block[content.rows(unit)], layout.dtype)
                writer.write(layout.site, block, unit.tokens, [stored])
        commit = writer.finish().commit(run.id, unit, path.name, Origin({"by": "a test"}))
        assert publish(run.folder, writer, commit)


@pytest.fixture
def content():
    return Content(units=((3, 1), (2,)), dtypes=DTYPES)


@pytest.fixture
def run(tmp_path, content):
    """A run with layers 0 and 2; its first unit has layer 1 too, in a further shard."""
    run = begin_run(tmp_path / "store", content, "part")
    for number in (0, 1):
        write_parts(run, content, number, kept((0, 2), (0, 2)))
    write_parts(run, content, 0, [SitePart("q", (1,)), SitePart("resid", (1, 3))])
    run.refresh()
    return run


def test_a_view_has_what_all_units_have_by_its_true_number(run, content):
    dataset = run.dataset()
    assert dataset["layer"].values.tolist() == dataset["depth"].values.tolist() == [0, 2]
    np.testing.assert_array_equal(dataset["q"].sel(layer=2), content.values["q"][2])
    np.testing.assert_array_equal(dataset["resid"], content.values["resid"][[0, 2]])
    assert problems(run) == []
    assert [(unit.number, sites) for unit, sites in run.missing(("resid", "q"))] == [
        (1, ("resid", "q"))
    ]


def test_what_is_added_later_joins_what_was_there(run, content):
    before = run.dataset("q")["q"].data.name
    write_parts(run, content, 1, [SitePart("q", (1,))])
    run.refresh()
    dataset = run.dataset(("q", "nll"))
    assert dataset["q"].data.name != before
    np.testing.assert_array_equal(dataset["q"], content.values["q"])
    np.testing.assert_array_equal(run.rows(run.units[1], "q", 1), content.values["q"][1, 4:])


def test_sites_are_read_together_at_the_layers_that_all_have(run, content):
    for number in (0, 1):
        write_parts(run, content, number, [SitePart("resid", (3,))])
    run.refresh()
    assert run.dataset("resid")["depth"].values.tolist() == [0, 2, 3]
    parts = begin_run(
        run.folder.parents[2] / "other", Content(dtypes={"q": "float32", "z": "float32"})
    )
    for number in range(3):
        write_parts(
            parts, Content(dtypes={"q": "float32", "z": "float32"}), number, [SitePart("q", (0,))]
        )
        write_parts(
            parts, Content(dtypes={"q": "float32", "z": "float32"}), number, [SitePart("z", (2,))]
        )
    parts.refresh()
    with pytest.raises(
        UsageError, match=r"no layer that all of these sites have \(q has 0, z has 2\)"
    ):
        parts.dataset(("q", "z"))


def test_units_without_a_layer_in_common_are_no_complete_site(tmp_path, content):
    run = begin_run(tmp_path / "store", content)
    write_parts(run, content, 0, [SitePart("q", (0,))])
    write_parts(run, content, 1, [SitePart("q", (1,))])
    run.refresh()
    assert run.sites == ()
    with pytest.raises(IncompleteRun, match="lacks q in 2 of 2 units"):
        run.dataset("q")


def test_packed_and_exported_it_is_the_same(run, content, tmp_path):
    assert pack(run).after == 2  # what units of a file have in common is the layers too
    assert problems(run) == []
    np.testing.assert_array_equal(run.dataset("q")["q"], content.values["q"][[0, 2]])
    exported, _ = export(run, tmp_path / "part.h5", Selection(layers=(2,)))
    dataset = exported.dataset()
    assert dataset["layer"].values.tolist() == dataset["depth"].values.tolist() == [2]
    np.testing.assert_array_equal(dataset["q"], content.values["q"][[2]])


@pytest.mark.slow
@settings(max_examples=15)
@given(units=st.lists(st.lists(numbers_of, min_size=1, max_size=3), min_size=2, max_size=2))
def test_any_layers_in_any_shards_make_the_site(units, tmp_path_factory):
    path = tmp_path_factory.mktemp("parts") / "store"
    content = Content(units=((3, 1), (2,)), dtypes={"resid": "float32", "q": "float32"})
    run = begin_run(path, content)
    for number, shards in enumerate(units):
        for parts in {tuple(parts_of(shard)) for shard in shards}:
            write_parts(run, content, number, parts)
    run.refresh()
    for site in DIMS:
        common = set.intersection(*(set().union(*(each[site] for each in unit)) for unit in units))
        assert run.index.numbers.get(site, ()) == tuple(sorted(common))
        if common:
            wanted = content.values[site][sorted(common)]
            np.testing.assert_array_equal(run.dataset(site)[site], wanted)
            read = runpy.run_path(str(READER))["read_site"](path, run.id, site)[0]
            np.testing.assert_array_equal(read, wanted)
    pack(run)
    assert problems(Store(path).run(run.id)) == []
    shutil.rmtree(path)


@given(numbers_of, numbers_of)
def test_what_is_missing_and_what_is_held_make_what_is_wanted(wanted, held):
    parts, there = parts_of(wanted), together(parts_of(held))
    missing = together(without(parts, there))
    for site, numbers in wanted.items():
        assert missing.get(site, frozenset()) == numbers - held[site]


def test_numbers_are_written_in_ranges():
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"


def test_a_damaged_shard_is_dropped_and_the_others_of_its_unit_stay(run, content):
    lost = run.commits[1]
    flip(run.path(lost), lost.sites["q"].offset)
    (dropped,) = repair(run, verify(run)).dropped
    assert dropped.parts == lost.holds
    left = together(part for each in run.commits for part in each.holds if each.unit.number == 0)
    assert left == run.index.held(run.units[0])
    write_parts(run, content, 0, lost.holds)
    run.refresh()
    np.testing.assert_array_equal(run.dataset("q")["q"], content.values["q"][[0, 2]])

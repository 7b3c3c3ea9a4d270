"""Where units lie is found when it is asked for, and is what their commits say."""

import gc
import pickle

import numpy as np
import pytest

from actlas.store import Run
from actlas.store.format.commit_record import CommitRecord
from actlas.store.io.safe_open import uncollected
from actlas.store.reading.sources import OwnSources, site_sources, sources_of
from actlas.store.writing.pack import pack
from tests.store.making import Content, begin_run, make_run, make_variant, write_unit


def kinds_of_run(folder):
    """Yield a run as extracted, one with some units in a packed file, and one with all."""
    content = Content(seed=3)
    run = make_run(folder / "apart", content)
    yield run
    partly = begin_run(folder / "partly", content)
    for number in (0, 1):
        write_unit(partly, content, number, tuple(content.dtypes))
    pack(Run(partly.folder))
    write_unit(partly, content, 2, tuple(content.dtypes))
    yield Run(partly.folder)
    packed = make_run(folder / "packed", content)
    pack(packed)
    yield packed


@pytest.mark.parametrize("which", range(3))
def test_sources_of_a_site_are_those_of_its_units(which, tmp_path):
    run = list(kinds_of_run(tmp_path))[which]
    for site in run.sites:
        found = site_sources(run.index, site)
        assert isinstance(found, OwnSources)
        wanted = [sources_of(run.index, unit, site) for unit in run.units]
        assert list(found) == wanted
        assert list(found[1:]) == wanted[1:]
        assert list(pickle.loads(pickle.dumps(found))) == wanted  # as workers of a cluster get it
        assert len(found.kinds) == len({piece.path for (piece,) in wanted})


def test_opening_does_not_look_up_every_unit(tmp_path, monkeypatch):
    *_, packed = kinds_of_run(tmp_path)
    asked = []
    stored = CommitRecord.site
    monkeypatch.setattr(
        CommitRecord,
        "site",
        lambda record, index, site: asked.append((index, site)) or stored(record, index, site),
    )
    dataset = packed.dataset(("q",))
    assert {member for member, _ in asked} == {0}  # one unit of the file, for the shape
    asked.clear()
    last = dataset["q"].isel(layer=0, token=slice(-2, None)).values
    assert {member for member, _ in asked} == {0, len(packed.units) - 1}
    np.testing.assert_array_equal(last, packed.rows(packed.units[-1], "q", 0)[-2:])


def test_a_variants_pieces_begin_with_its_baselines(tmp_path):
    baseline = make_run(tmp_path / "store", Content(seed=1), edits=[])
    variant = make_variant(tmp_path / "store", baseline, Content(seed=2))
    found = site_sources(variant.index, "q")
    assert not isinstance(found, OwnSources)
    assert [pieces[0].path.parent.parent.name for pieces in found] == [baseline.id] * len(
        variant.units
    )


def test_the_search_for_cycles_goes_on_afterwards():
    assert gc.isenabled()
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="seen"), uncollected():
        raise ValueError("seen")
    assert gc.isenabled()
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()

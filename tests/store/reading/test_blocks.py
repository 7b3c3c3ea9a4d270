import os
import resource
import shutil
from pathlib import Path

import dask
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.store import DamagedStore
from actlas.store.reading import blocks
from tests.store.making import Content, contents, flip, make_run, shards


@settings(max_examples=25)
@given(content=contents())
def test_every_value_and_label_survives(content, tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("any") / "store", content)
    dataset, table = run.dataset(check=True), run.sentence_labels()
    assert set(dataset.data_vars) == set(content.dtypes)
    for site, values in content.values.items():
        assert dataset[site].dtype == np.float32
        np.testing.assert_array_equal(dataset[site].values, values)
    labels = content.labels
    for name, array in labels.token.items():
        np.testing.assert_array_equal(dataset[name].values, array)
    for name, array in {**labels.columns, "row_size": labels.row_size, "text": labels.text}.items():
        np.testing.assert_array_equal(table[name].values, array)


@settings(max_examples=40)
@given(data=st.data())
def test_selections_are_numpys(data, stored, content):
    site = data.draw(st.sampled_from(sorted(content.dtypes)))
    array, values = stored.dataset([site])[site], content.values[site]
    picks, index = {}, [slice(None)] * values.ndim
    for axis, (dim, size) in enumerate(zip(array.dims, values.shape, strict=True)):
        if dim == "token" and data.draw(st.booleans()):
            index[axis] = np.array(data.draw(st.lists(st.integers(-size, size - 1))), dtype=int)
        else:
            index[axis] = data.draw(st.slices(size))
        picks[dim] = index[axis]
        values = values[(slice(None),) * axis + (index[axis],)]
    np.testing.assert_array_equal(array.isel(picks).values, values)


def test_building_computes_nothing(stored, forbid_compute):
    dataset = stored.dataset(check=True)
    her = dataset["resid"].isel(token=np.flatnonzero(dataset["position"].values == 0))
    assert her.sizes["token"] == stored.sentences
    with pytest.raises(AssertionError, match="something was computed"):
        her.compute()


def test_a_chunk_is_one_layer_of_one_unit(stored, content):
    tokens = tuple(unit.tokens for unit in content.plan)
    dataset = stored.dataset()
    assert dataset["q"].chunks == ((1, 1, 1), tokens, (2,), (5,))
    assert dataset["nll"].chunks == (tokens,)


def test_what_is_not_selected_is_not_needed(copied, content):
    array = copied.dataset()["q"]
    shards(copied)[2].unlink()
    first = content.plan[0].tokens
    np.testing.assert_array_equal(
        array.isel(token=slice(0, first)).values, content.values["q"][:, :first]
    )
    with pytest.raises(DamagedStore):
        array.compute()


def test_a_view_cannot_be_written_to(stored):
    commit = stored.commits[0]
    block = blocks.read_block(
        blocks.BlockSource(stored.path(commit), commit.size, commit.sites["nll"], (0,)), 0
    )
    with pytest.raises(ValueError, match="read-only"):
        block[0] = 1


def test_stores_with_equal_ids_are_not_mixed_up(tmp_path):
    contents = [Content(seed=seed) for seed in (1, 2)]
    ours, theirs = (make_run(tmp_path / str(content.seed), content) for content in contents)
    assert ours.id == theirs.id
    found = dask.compute(ours.dataset()["resid"].data, theirs.dataset()["resid"].data)
    difference = (ours.dataset()["resid"] - theirs.dataset()["resid"]).values
    for array, content in zip(found, contents, strict=True):
        np.testing.assert_array_equal(array, content.values["resid"])
    np.testing.assert_array_equal(
        difference, contents[0].values["resid"] - contents[1].values["resid"]
    )


def test_equal_views_share_their_work(stored):
    names = {stored.dataset()["q"].data.name for _ in range(2)}
    assert len(names) == 1
    assert stored.dataset(check=False)["q"].data.name not in names


def test_a_file_put_in_place_of_another_is_read_again(copied):
    path, site = shards(copied)[0], copied.commits[0].sites["nll"]
    piece = blocks.BlockSource(path, copied.commits[0].size, site, (0,))
    held = blocks.read_block(piece, 0)  # keeps the old file mapped
    other = path.with_suffix(".new")
    shutil.copyfile(path, other)
    with other.open("r+b") as file:
        file.seek(site.offset)
        file.write(np.float32(5).tobytes())
    other.replace(path)
    assert blocks.read_block(piece, 0)[0] == 5 != held[0]


@pytest.mark.parametrize("most", [blocks.MOST_MAPS, 2, 0])
def test_many_blocks_at_once_need_few_descriptors(most, monkeypatch, tmp_path):
    content = Content(
        units=((1,),) * 5, dtypes={"resid": "float32", "nll": "float32"}, sizes={"depth": 40}
    )
    run = make_run(tmp_path / "store", content)
    monkeypatch.setattr(blocks, "MOST_MAPS", most)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE,
        (max(int(path.name) for path in Path("/dev/fd").iterdir()) + 30, limits[1]),
    )
    try:
        found = run.dataset(["resid"])[
            "resid"
        ].values  # 200 blocks, all alive until they are joined
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    np.testing.assert_array_equal(found, content.values["resid"])


@settings(max_examples=25)
@given(data=st.data())
def test_check_finds_any_flipped_bit_of_the_numbers(data, stored):
    unit = data.draw(st.integers(0, 2))
    commit = stored.commits[unit]
    site = commit.sites[data.draw(st.sampled_from(sorted(commit.sites)))]
    view = stored.dataset([site.layout.site], check=True)[site.layout.site].data
    path = stored.path(commit)
    position = data.draw(st.integers(site.offset, site.offset + site.layout.nbytes - 1))
    bit = data.draw(st.integers(0, 7))
    flip(path, position, bit)
    try:
        with pytest.raises(DamagedStore, match=f"{commit.file}.*{site.layout.site}.*was altered"):
            view.compute()
    finally:
        # in place: other threads may still read the map, which must not shrink under them
        flip(path, position, bit)
        path.chmod(0o444)


def test_check_finds_a_flipped_bit_of_the_labels(copied):
    commit = copied.commits[1]
    flip(copied.path(commit), commit.labels["token_id"].offset + 1)
    with pytest.raises(DamagedStore, match=f"{commit.file}: labels were altered"):
        copied.dataset(["q"], check=True)


def test_labels_that_are_no_text_any_more_are_damage(copied):
    commit = copied.commits[1]
    flip(copied.path(commit), commit.labels["text"].offset, 7)
    with pytest.raises(DamagedStore, match=f"{commit.file}: labels were altered"):
        _ = copied.labels


@pytest.mark.parametrize("change", [-1, 1, -5000])
@pytest.mark.parametrize("site", ["resid", "q", "attn_out", "nll"])
def test_another_size_is_an_error_that_names_the_file(site, change, copied):
    array = copied.dataset()[site]
    path = shards(copied)[1]
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size + change)
    with pytest.raises(DamagedStore, match=rf"{path.name} has \d+ bytes, its commit says"):
        array.compute()
    copied.refresh()
    with pytest.raises(DamagedStore, match=rf"{path.name} has \d+ bytes, its commit says"):
        copied.dataset()


def test_a_missing_shard_is_an_error_that_names_it(copied):
    array = copied.dataset()["q"]
    path = shards(copied)[1]
    path.unlink()
    with pytest.raises(DamagedStore, match=f"{path.name} is missing"):
        array.compute()
    copied.refresh()
    with pytest.raises(DamagedStore, match=f"{path.name} is missing"):
        copied.dataset()

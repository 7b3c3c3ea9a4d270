import io

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.store.format.schema import SiteLayout
from actlas.store.format.skeleton import (
    ALIGNMENT,
    PAGE,
    Image,
    column_records,
    write_skeleton,
)
from actlas.store.labels.columns import encode
from tests.store.making import Content, layouts

places = st.integers(0, 3 * PAGE)
writes = st.tuples(
    st.just("write"),
    places,
    st.binary(max_size=9) | st.integers(0, 2 * PAGE).map(lambda n: b"x" * n),
)
actions = st.lists(
    writes | st.tuples(st.just("read"), places, st.integers(0, 2 * PAGE)), max_size=8
)


@given(actions=actions)
def test_an_image_behaves_as_a_file(actions):
    image, file = Image(), io.BytesIO()
    for action, place, what in actions:
        if action == "write":
            file.seek(place)
            file.write(what)
        else:
            file.seek(place)
            image.seek(place)
            assert (image.read(what) or b"") == file.read(what)
            continue
        image.seek(place)
        assert image.write(what) == len(what)
        assert image.tell() == file.tell()
    written = bytearray(image.size)
    for offset, piece in image.pieces():
        written[offset : offset + len(piece)] = piece
    image.seek(0)
    assert bytes(written) == file.getvalue()[: image.size] == image.read()


def test_a_skeleton_takes_no_memory_for_activations(content):
    unit = content.plan[0]
    huge = SiteLayout(
        "mlp_post",
        ("layer", "token", "d_mlp"),
        (48, unit.tokens, 1 << 28),
        "float32",
        "never written",
    )
    image = Image()
    write_skeleton(image, [huge], content.labels.sentences(unit.first, unit.sentences), {})
    assert image.size > huge.nbytes > 1 << 38
    assert sum(len(piece) for _, piece in image.pieces()) < 1 << 20


def test_data_are_contiguous_unfiltered_early_and_aligned(stored, content):
    for commit in stored.commits:
        path = stored.path(commit)
        with h5py.File(path) as file:
            assert set(commit.sites) == set(content.dtypes)
            for name, site in commit.sites.items():
                creation = file[name].id.get_create_plist()
                assert creation.get_layout() == h5py.h5d.CONTIGUOUS
                assert creation.get_nfilters() == 0
                assert creation.get_alloc_time() == h5py.h5d.ALLOC_TIME_EARLY
                assert creation.get_fill_time() == h5py.h5d.FILL_TIME_NEVER
                assert file[name].id.get_offset() == site.offset
                assert file[name].id.get_storage_size() == site.layout.nbytes
                if site.layout.nbytes >= ALIGNMENT:
                    assert site.offset % ALIGNMENT == 0


def test_large_sites_begin_on_a_page():
    content = Content(units=((40, 30),), sizes={"d_model": 64, "d_head": 32})
    image, unit = Image(), content.plan[0]
    found = write_skeleton(image, layouts(content, unit, content.dtypes), content.labels, {})
    for name in ("resid", "q", "attn_out", "final_norm"):
        assert found[name] % ALIGNMENT == 0


def test_offsets_are_those_that_hdf5_reads(content):
    image, unit = Image(), content.plan[0]
    labels = content.labels.sentences(unit.first, unit.sentences)
    columns = {"number": np.arange(unit.sentences), "text_too": np.array(["é"] * unit.sentences)}
    found = write_skeleton(
        image, layouts(content, unit, content.dtypes), labels, {}, encoded=encode(columns)
    )
    with h5py.File(image, "r") as file:
        assert found == {name: file[name].id.get_offset() for name in found}
        assert found.keys() >= {*content.dtypes, "token_id", "row_size"}


@pytest.mark.parametrize(
    "name", ["head", "d_model", "key", "q_bytes", "q", "a/b", "_nc4_non_coord_layer", "日本"]
)
def test_a_column_may_be_called_like_anything_else_in_the_file(name, content):
    unit, column = content.plan[0], np.arange(3)
    labels, sites = (
        content.labels.sentences(unit.first, unit.sentences),
        layouts(content, unit, ["q", "resid"]),
    )
    image, columns = Image(), {name: column, "text_too": np.array(["", "é", "x"])}
    of_tokens = {f"{name} too": np.arange(labels.tokens)}
    encoded = encode(columns, of_tokens)
    offsets = write_skeleton(image, sites, labels, {}, encoded=encoded)
    found = column_records(offsets, sites, labels, encoded)
    with h5py.File(image) as file:
        variable = file[found[name].variable]
        np.testing.assert_array_equal(variable[:], column)
        of_token = file[found[f"{name} too"].variable]
        np.testing.assert_array_equal(of_token[:], of_tokens[f"{name} too"])
        described = variable.attrs["long_name"]
        assert (described if isinstance(described, str) else described.decode()) == name
        assert variable.id.get_offset() == found[name].offset
        assert b"".join(file["sentence_text_too"][:].tolist()).decode() == "éx"
        assert file["sentence_text_too_length"][:].tolist() == [0, 2, 1]

import json

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.store import DamagedStore, IncompleteRun, StoreError, UsageError
from actlas.store.format.schema import canonical, checksum
from actlas.store.runs.exported import Exported
from actlas.store.writing.export import export
from actlas.store.writing.selection import SENTENCE_IN_RUN, Selection, narrowed
from tests.store.making import Content, as_stored, begin_run, contents, flip, make_run, shards
from tests.store.writing.exports import problems


def test_a_whole_export_reads_as_the_run_does(stored, exported):
    xr.testing.assert_identical(
        exported.dataset(check=True).drop_attrs(), stored.dataset().drop_attrs()
    )
    assert exported.dataset().attrs == {"run": stored.id, "name": "her.h5"}
    assert (exported.sites, exported.sentences, exported.tokens) == (
        stored.sites,
        stored.sentences,
        stored.tokens,
    )
    assert (exported.specification, exported.description) == (
        stored.specification,
        stored.description,
    )
    assert exported.dataset()["q"].chunks == stored.dataset()["q"].chunks
    assert exported.missing(stored.sites) == []
    assert [path.name for path in exported.folder.iterdir()] == ["her.h5"]


@pytest.mark.slow
@settings(max_examples=30)
@given(
    data=st.data(),
    content=contents(),
    dtype=st.sampled_from([None, "float32", "float16", "bfloat16"]),
)
def test_an_export_is_what_xarray_selects(data, content, dtype, tmp_path_factory):
    folder = tmp_path_factory.mktemp("selection")
    run = make_run(folder / "store", content, "her")
    sites = tuple(
        data.draw(st.lists(st.sampled_from(list(content.dtypes)), min_size=1, unique=True))
    )
    whole = run.dataset(sites)
    count = whole.sizes["token"]
    tokens = np.array(sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1))))
    selection = Selection(sites, None, tokens, dtype)
    exported, new = export(run, folder / "part.nc", selection)
    assert new
    got, wanted = exported.dataset(check=True).load(), whole.isel(token=tokens).load()
    for site in sites:
        features = got[site].ndim > 1 + ("layer" in got[site].dims or "depth" in got[site].dims)
        values = wanted[site].values
        stored = exported.commits[0].sites[site].layout.dtype
        assert stored == (dtype if dtype and features else content.dtypes[site])
        loss = {"float32": 0, "float16": 1e-3, "bfloat16": 1e-2}[stored]
        np.testing.assert_allclose(got[site].values, values, rtol=loss, atol=1e-6)
    for label in ("position", "token_id", "char_start", "char_end"):
        np.testing.assert_array_equal(got[label], wanted[label])
    kept = np.unique(wanted["sentence"])
    np.testing.assert_array_equal(got[SENTENCE_IN_RUN], wanted["sentence"])
    np.testing.assert_array_equal(kept[got["sentence"].values], wanted["sentence"])
    np.testing.assert_array_equal(
        np.bincount(got["sentence"]), exported.sentence_labels()["row_size"]
    )
    for label in ("text", "year", "score", "origin"):
        np.testing.assert_array_equal(got[label], wanted[label])
    assert problems(exported) == []
    before = (folder / "part.nc").read_bytes()
    again, new = export(run, folder / "part.nc", selection)
    assert (new, again.header) == (False, exported.header)
    assert (folder / "part.nc").read_bytes() == before
    twice, _ = export(exported, folder / "twice.h5")  # an export can be exported
    xr.testing.assert_equal(twice.dataset(), exported.dataset())


def test_layers_keep_their_numbers_and_bring_their_input_and_output(tmp_path):
    content = Content(
        sizes={"layer": 9, "depth": 10},
        dtypes={"q": "float32", "resid": "float16", "nll": "float32"},
    )
    run = make_run(tmp_path / "store", content)
    exported, _ = export(run, tmp_path / "her.h5", Selection(layers=(3, 7)))
    got, whole = exported.dataset(), run.dataset()
    assert got["layer"].values.tolist() == [3, 7]
    assert got["depth"].values.tolist() == [3, 4, 7, 8]
    xr.testing.assert_equal(got, whole.sel(layer=[3, 7], depth=[3, 4, 7, 8]))
    again, _ = export(exported, tmp_path / "again.h5", Selection(("q", "resid"), layers=(7,)))
    xr.testing.assert_equal(again.dataset(), whole.drop_vars("nll").sel(layer=[7], depth=[7, 8]))
    with pytest.raises(UsageError, match="no layer 4 to export: there is 3, 7"):
        export(exported, tmp_path / "none.h5", Selection(layers=(3, 4)))
    with pytest.raises(UsageError, match="these sites have no layers"):
        export(run, tmp_path / "none.h5", Selection(("nll",), layers=(3,)))
    with h5py.File(tmp_path / "again.h5") as file:
        assert file["layer"][:].tolist() == [7]


def test_other_readers_read_it(exported, content, tmp_path):
    with xr.open_dataset(exported.file, engine="h5netcdf") as opened:
        np.testing.assert_array_equal(opened["resid"], content.values["resid"])
        assert [str(text) for text in opened["sentence_text"].values] == list(content.labels.text)
        assert json.loads(opened.attrs["actlas_specification"]) == exported.specification
        assert opened.attrs["actlas_run"] == exported.id
    wide, _ = export(exported, tmp_path / "wide.h5", Selection(dtype="float32"))
    with netCDF4.Dataset(wide.file) as file:
        np.testing.assert_array_equal(file["q"][:], content.values["q"])
        assert (file["q"].chunking(), file["q"].filters()["zlib"]) == ("contiguous", False)


def test_what_stands_at_the_place_is_never_overwritten(stored, tmp_path):
    out = tmp_path / "her.h5"
    for content in (
        b"",
        b"thesis",
        (export(stored, tmp_path / "nll.h5", Selection(("nll",)))[0].file).read_bytes(),
    ):
        out.unlink(missing_ok=True)
        out.write_bytes(content)
        with pytest.raises(StoreError, match=r"her\.h5 is there already and is not this export"):
            export(stored, out)
        assert out.read_bytes() == content
    out.unlink()
    flip(export(stored, out)[0].file, 6000)  # the same export once, but damaged
    with pytest.raises(StoreError, match="is not this export"):
        export(stored, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["her.h5", "nll.h5"]


@pytest.mark.parametrize(
    ("out", "selection", "message"),
    [
        ("her.txt", Selection(), "does not end in .h5 or .nc"),
        ("none/her.h5", Selection(), "none is not a directory"),
        ("her.h5", Selection(("qq",)), "has no such site"),
    ],
)
def test_wrong_requests_leave_nothing(stored, tmp_path, out, selection, message):
    with pytest.raises(UsageError, match=message):
        export(stored, tmp_path / out, selection)
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_run_and_an_unknown_dtype_are_refused(tmp_path, content):
    run = begin_run(tmp_path / "store", content, "her")
    with pytest.raises(IncompleteRun):
        export(run, tmp_path / "her.h5")
    with pytest.raises(UsageError, match="unknown dtype 'int8'"):
        Selection(dtype="int8")
    with pytest.raises(UsageError, match="no token is left"):
        Selection(tokens=np.array([], dtype=np.int64))


def test_a_damaged_run_is_not_exported(copied, tmp_path):
    site = copied.commits[1].sites["q"]
    flip(shards(copied)[1], site.offset + site.layout.block_bytes)
    with pytest.raises(DamagedStore, match=r"q\[1\] was altered"):
        export(copied, tmp_path / "her.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copied"]


@given(
    values=st.lists(st.floats(width=32), min_size=1, max_size=8),
    dtype=st.sampled_from(["float16", "bfloat16"]),
)
def test_narrowing_rounds_to_the_nearest_or_refuses(values, dtype):
    array = np.array(values, dtype=np.float32)
    limit = {"float16": 65520.0, "bfloat16": float(np.uint32(0x7F7F8000).view(np.float32))}[dtype]
    finite = np.isfinite(array)
    if (np.abs(array[finite].astype(np.float64)) >= limit).any():
        with pytest.raises(
            StoreError, match=rf"q\[layer 3\] holds .* which {dtype} does not reach"
        ):
            narrowed(array, dtype, "q[layer 3]")
        return
    stored = narrowed(array, dtype, "q[layer 3]")
    back = (
        (stored.astype(np.uint32) << 16).view(np.float32)
        if dtype == "bfloat16"
        else stored.astype(np.float32)
    )
    np.testing.assert_array_equal(np.isnan(back), np.isnan(array))
    np.testing.assert_array_equal(back[np.isinf(array)], array[np.isinf(array)])
    if dtype == "bfloat16":  # neither neighbour is nearer
        for step in (-1, 1):
            bits = (back[finite & (back != 0)].view(np.uint32) >> 16).astype(np.int64) + step
            other = (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
            exact, near = (
                array[finite & (back != 0)].astype(np.float64),
                back[finite & (back != 0)].astype(np.float64),
            )
            assert (
                np.abs(exact - near) <= np.abs(exact - np.where(np.isfinite(other), other, np.inf))
            ).all()


def test_what_does_not_fit_is_named_and_leaves_nothing(tmp_path):
    content = Content(dtypes={"resid": "float32", "nll": "float32"})
    content.values["resid"][2, 5, 3] = -7e4
    run = make_run(tmp_path / "store", content)
    with pytest.raises(
        StoreError, match=r"resid\[depth 2\] holds 70000, which float16 does not reach"
    ):
        export(run, tmp_path / "her.h5", Selection(dtype="float16"))
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    exported, _ = export(run, tmp_path / "her.h5", Selection(dtype="bfloat16"))
    np.testing.assert_array_equal(
        exported.dataset()["nll"], as_stored(content.values["nll"], "float32")
    )


@pytest.mark.slow
@settings(max_examples=120)
@given(data=st.data())
def test_any_flipped_bit_is_found(data, stored, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "flipped.h5"
    size = export(stored, path)[0].file.stat().st_size
    regions = [(0, 600), (0, size), (size - 9000, size), (size - 30, size)]
    start, end = data.draw(st.sampled_from(regions))
    position, bit = data.draw(st.integers(start, end - 1)), data.draw(st.integers(0, 7))
    flip(path, position, bit)
    try:
        found = problems(Exported(path))
    except (DamagedStore, UsageError) as error:
        found = [str(error)]
    flip(path, position, bit)
    assert found
    assert all(str(path) in problem and "\n" not in problem for problem in found)


@pytest.mark.slow
@settings(max_examples=60)
@given(data=st.data())
def test_a_cut_file_is_refused(data, stored, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    whole = export(stored, folder / "uncut.h5")[0].file.read_bytes()
    (folder / "cut.h5").write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises((DamagedStore, UsageError), match=r"cut\.h5"):
        Exported(folder / "cut.h5")


def test_altered_data_is_an_error_on_reading(exported):
    site = exported.commits[1].sites["q"]
    flip(exported.file, site.place(2))
    again = Exported(exported.file)
    with pytest.raises(DamagedStore, match=r"her\.h5: q\[2\] was altered"):
        again.dataset(check=True)["q"].load()
    assert len(problems(again)) == 1
    exported.file.chmod(0o644)
    with exported.file.open("ab") as file:
        file.write(b"x")
    with pytest.raises(DamagedStore, match="bytes, its commit says"):
        again.dataset()["q"].load()


def test_a_sealed_record_is_canonical(exported):
    content = exported.file.read_bytes()
    record = json.loads(content[exported.header["hdf5"] : -27])
    found = record.pop("checksum")
    assert found == checksum(canonical(record))

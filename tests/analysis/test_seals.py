"""The seal of a result: whatever was changed is found, and said in one line.

The changes are one byte anywhere, a cut, another name, another's figures.
"""

import os
import shutil
from functools import partial

import dask.array as da
import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from actlas.analysis.results.files import add_result, read_result, with_provenance
from actlas.analysis.results.large import add_large_result
from actlas.analysis.results.seals import DamagedResult, check_result, read_seal, sealed_tail
from actlas.store.io.replacing import replacing


def write(folder, name="variance-her-0a1b2c3d", numbers=(0.00157, 2.0), question="q"):
    """Write a result of ``numbers`` with a figure; return its path and its numbers."""
    data = xr.Dataset(
        {"variance": ("layer", np.array(numbers))}, {"word": ("layer", ["her", "naïve"])}
    )
    data = with_provenance(
        data, stage="variance", runs=["0123456789abcdef"], options={"word": "her"}
    )
    with replacing(folder) as files:
        beside = {f"{name}.svg": files.add(f"{name}.svg", [b"<svg/>", name.encode()])}
        add_result(files, f"{name}.nc", data, question, beside)
    return folder / f"{name}.nc", data


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write(tmp_path_factory.mktemp("result"))


def test_a_result_is_read_back_by_us_and_by_others(written):
    path, data = written
    xr.testing.assert_identical(read_result(path), data)
    for engine in ("h5netcdf", "netcdf4"):
        with xr.open_dataset(path, engine=engine) as opened:
            xr.testing.assert_identical(opened.load(), data)
    assert read_seal(path).attributes == data.attrs


@given(st.data())
def test_one_changed_bit_is_found(written, tmp_path_factory, data):
    folder = shutil.copytree(written[0].parent, tmp_path_factory.mktemp("copy") / "copy")
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with pytest.raises(DamagedResult, match=path.name):
        check_result(folder / written[0].name)


@given(st.data())
def test_a_cut_or_a_byte_too_many_is_found(written, tmp_path_factory, data):
    folder = shutil.copytree(written[0].parent, tmp_path_factory.mktemp("copy") / "copy")
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = path.read_bytes()
    path.write_bytes(
        data.draw(
            st.sampled_from(
                [content[: data.draw(st.integers(0, len(content) - 1))], content + b"x"]
            )
        )
    )
    with pytest.raises(DamagedResult, match=path.name) as caught:
        check_result(folder / written[0].name)
    assert len(str(caught.value).splitlines()) == 1


def test_results_swapped_and_figures_swapped_are_found(tmp_path):
    one, _ = write(tmp_path, "variance-her-00000001")
    other, _ = write(tmp_path, "variance-she-00000002", (1.0, 3.0))
    for kind in (".nc", ".svg"):
        names = one.with_suffix(kind), other.with_suffix(kind), tmp_path / "aside"
        for source, target in ((0, 2), (1, 0), (2, 1)):
            names[source].rename(names[target])
        for path in (one, other):
            with pytest.raises(
                DamagedResult,
                match="renamed or is in another's place" if kind == ".nc" else "of another result",
            ):
                check_result(path)
        for source, target in ((0, 2), (1, 0), (2, 1)):
            names[source].rename(names[target])
    check_result(one)


def test_what_is_missing_a_folder_a_pipe_or_of_another_program_is_one_line(tmp_path):
    import os

    (tmp_path / "folder.nc").mkdir()
    os.mkfifo(tmp_path / "pipe.nc")
    (tmp_path / "loop.nc").symlink_to("loop.nc")
    (tmp_path / "empty.nc").touch()
    xr.Dataset({"x": 1}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    for name in ("none", "folder", "pipe", "loop", "empty", "other"):
        with pytest.raises(DamagedResult, match=f"{name}.nc") as caught:
            read_result(tmp_path / f"{name}.nc")
        assert len(str(caught.value).splitlines()) == 1


def hostile(path, make):
    """Write a sealed result whose HDF5 part is what ``make`` does to a file."""
    with h5py.File(path, "w") as file:
        make(file)
    content = path.read_bytes()
    import xxhash

    attributes = dict.fromkeys(("stage", "runs", "options", "software"), "{}")
    digest = xxhash.xxh3_128_hexdigest(content)
    path.write_bytes(content + sealed_tail(path.stem, "q", attributes, len(content), digest, {}))


@pytest.mark.parametrize(
    "make",
    [
        lambda file: file.__setitem__("x", h5py.ExternalLink("secret.h5", "/x")),
        lambda file: file.__setitem__("x", h5py.SoftLink("/y")),
        lambda file: file.create_group("x"),
        lambda file: file.create_dataset("x", (1 << 40,), "f8"),
        lambda file: file.create_dataset("x", (1000,), "f8", external=[("secret.raw", 0, 8000)]),
        lambda file: [file.create_dataset(f"x{number}", (1,), "u1") for number in range(1001)],
    ],
)
def test_a_sealed_result_cannot_lead_elsewhere_or_fill_the_memory(tmp_path, make):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = [42.0]
    hostile(tmp_path / "variance-a-00000000.nc", make)
    with pytest.raises(DamagedResult, match="cannot be read"):
        read_result(tmp_path / "variance-a-00000000.nc")


@pytest.mark.parametrize(
    "change",
    [
        {"name": 3},
        {"attributes": []},
        {"attributes": {}},
        {"attributes": {"stage": 1, "runs": "", "options": "", "software": ""}},
        {"files": {"../../etc/passwd": "0"}},
        {"files": {"other.svg": "0"}},
        {"files": None},
        {"size": -1},
        {"content": None},
        {"version": 99},
    ],
)
def test_a_sealed_record_of_another_form_is_refused(written, tmp_path, change):
    from actlas.store.format.schema import seal, unseal
    from actlas.store.format.tail import read_tail, tail_bytes

    path = shutil.copytree(written[0].parent, tmp_path / "copy") / written[0].name
    content = path.read_bytes()
    with path.open("rb") as file:
        tail = read_tail(partial(os.pread, file.fileno()), len(content), 1 << 20)
    record = unseal(tail.sealed, "", tail.kind) | change
    path.write_bytes(content[: tail.start] + tail_bytes(seal(record), tail.kind))
    with pytest.raises(DamagedResult):
        read_result(path)


def test_a_large_result_is_written_block_by_block(tmp_path):
    generator = np.random.default_rng(0)
    values = generator.random((2, 3, 70, 70), dtype=np.float32)
    held = []

    def block(numbers):
        held.append(numbers.shape)
        return numbers

    lazy = da.from_array(values, chunks=(1, 1, -1, -1)).map_blocks(block, dtype=np.float32)
    coords = {
        "group": ["target", "control"],
        "layer": [0, 4, 7],
        "projection": ("feature", ["q"] * 30 + ["k"] * 40),
    }
    data = xr.Dataset({"cosine": (("group", "layer", "feature", "other"), lazy)}, coords)
    data = with_provenance(data, stage="cosine_matrix", runs=["0123456789abcdef"], options={})
    with replacing(tmp_path) as files:
        digest = add_large_result(files, "a_matrix.nc", data, "cosine", "q")
    assert {shape for shape in held if shape[0]} == {(1, 1, 70, 70)}
    path = tmp_path / "a_matrix.nc"
    wanted = data.assign(cosine=(data["cosine"].dims, values))
    xr.testing.assert_identical(read_result(path), wanted)
    with xr.open_dataset(path, engine="netcdf4") as opened:
        xr.testing.assert_identical(opened.load(), wanted)
    from actlas.analysis.results.seals import file_digest

    assert file_digest(path) == digest

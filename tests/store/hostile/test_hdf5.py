"""HDF5 that leads elsewhere, hides or never ends is found, and never followed."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings

from tests.store.hostile.forging import altered
from tests.store.making import contents, make_run, problems


def external_link(file):
    file["secret"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file):
    file["other"] = h5py.SoftLink("/q")


def link_in_place_of_a_label(file):
    del file["position"]
    file["position"] = h5py.ExternalLink("elsewhere.h5", "/position")


def external_storage(file):
    file.create_dataset("stolen", (10,), "u1", external=[("/etc/passwd", 0, 10)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/tmp/elsewhere.h5", "x", (4,))
    file.create_virtual_dataset("mirage", layout)


def shape_bomb(file):
    file.create_dataset("bomb", (1 << 50,), "f4", chunks=(1 << 10,))


def shape_bomb_of_a_dimension(file):
    del file["d_model"]
    file.create_dataset("d_model", (1 << 40,), "f4")


def chunked_site(file):
    file.create_dataset("further", (4, 4), "f4", chunks=(2, 2))


def nested(file):
    group = file
    for _ in range(500):
        group = group.create_group("g")


def loop(file):
    file["loop"] = file["/"]


def named_type(file):
    file["type"] = np.dtype("f4")


def invalid_utf8(file):
    h5py.h5d.create(file.id, b"\xff\xfe", h5py.h5t.NATIVE_INT8, h5py.h5s.create_simple((1,)))


def terminal_escape(file):
    file.create_dataset("\x1b[2J\n", data=np.zeros(3, "f4"))


def many_attributes(file):
    for number in range(200):
        file.attrs[f"a{number}"] = 0


def many_variables(file):
    for number in range(1100):
        file.create_dataset(f"v{number}", data=np.float32(0))


def labels_under_each_others_names(file):
    file.move("position", "aside")
    file.move("token_id", "position")
    file.move("aside", "token_id")


def missing_variable(file):
    del file["nll"]


CHANGES = (
    external_link,
    soft_link,
    link_in_place_of_a_label,
    external_storage,
    virtual,
    shape_bomb,
    shape_bomb_of_a_dimension,
    chunked_site,
    nested,
    loop,
    named_type,
    invalid_utf8,
    terminal_escape,
    many_attributes,
    many_variables,
    labels_under_each_others_names,
    missing_variable,
)


@settings(max_examples=15, deadline=None)
@given(content=contents())
def test_hdf5_and_commit_agree_on_every_valid_run(content, tmp_path_factory):
    assert problems(make_run(tmp_path_factory.mktemp("valid") / "store", content)) == []


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_an_hdf5_part_that_leads_elsewhere_is_found_and_never_followed(change, copied, content):
    shard = altered(copied, change)
    found = problems(copied)
    assert found
    assert all(problem.startswith(f"{shard}: to HDF5, ") for problem in found)
    # read without HDF5
    np.testing.assert_array_equal(
        copied.dataset(["q"], check=True)["q"].values, content.values["q"]
    )

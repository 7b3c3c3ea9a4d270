"""Readouts in a store: read by others, verified, collected, written side by side, refused."""

import threading

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from actlas.scripts.cli import main
from actlas.store import DamagedStore, Store, UsageError
from actlas.store.maintenance.disk_usage import usage
from actlas.store.maintenance.gc import collect
from actlas.store.readouts.readout import Readout, ReadoutSource, single_answer
from actlas.store.readouts.record import file_name
from actlas.store.readouts.verify import drop_damaged, readout_problems, verify_readouts
from actlas.store.readouts.words import Words, word_bytes
from actlas.store.readouts.writing import NewArray, add_readout, carry_readouts
from tests.store.maintenance.small_stores import SMALL
from tests.store.making import flip, make_run

MODEL = {"family": "gpt2", "weights": f"xxh3:{'ab' * 16}", "config": "cd" * 32}
FACTS = {
    "norm": {"kind": "layer", "epsilon": 1e-5},
    "cap": None,
    "scale": 1.0,
    "head": "plain",
    "activation": "",
    "mask": None,
}
WORDS = ["a", " her", "her", "", "né", " un"]
UNEMBED = np.arange(24, dtype=np.float32).reshape(6, 4)


def arrays(unembed=UNEMBED):
    lengths, characters = word_bytes(WORDS)
    return {
        "gain": of(("d_model",), np.ones(4, np.float32)),
        "unembed": of(("vocabulary", "d_model"), unembed),
        "vocabulary_length": of(("vocabulary",), lengths, "int32"),
        "vocabulary_bytes": NewArray(
            ("character",), (len(characters),), "bytes", "words", lambda: [characters]
        ),
    }


def of(dims, values, dtype="float32"):
    # in two pieces
    content = values.tobytes()
    return NewArray(dims, values.shape, dtype, "numbers", lambda: [content[:8], content[8:]])


@pytest.fixture
def path(tmp_path):
    Store.create(tmp_path)
    return add_readout(tmp_path, MODEL, "output", FACTS, arrays())[0]


def test_it_is_what_was_given(path, tmp_path):
    readout = Readout(path)
    np.testing.assert_array_equal(readout.unembed, UNEMBED)
    assert readout.shift is None
    assert readout.bias is None
    assert readout.words.of(range(-1, 7)) == [
        *("<-1>", "a", " her", "her", "<3>", "né", " un", "<6>"),
    ]
    assert readout.digest == MODEL["weights"]
    with xr.open_dataset(path, engine="h5netcdf") as opened:
        np.testing.assert_array_equal(opened["unembed"], UNEMBED)
        assert opened["unembed"].dims == ("vocabulary", "d_model")
    import netCDF4

    with netCDF4.Dataset(path) as opened:
        np.testing.assert_array_equal(opened["gain"][:], np.ones(4))


def test_equal_readouts_are_equal_files_and_the_first_stays(path, tmp_path):
    again, new = add_readout(tmp_path, MODEL, "output", FACTS, arrays(UNEMBED + 1))
    assert (again, new) == (path, False)
    other = add_readout(tmp_path / "other", MODEL, "output", FACTS, arrays())[0]
    assert other.read_bytes() == path.read_bytes()


def test_writers_side_by_side(tmp_path):
    made = []
    writers = [
        threading.Thread(
            target=lambda: made.append(add_readout(tmp_path, MODEL, "output", FACTS, arrays()))
        )
        for _ in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sum(new for _, new in made) == 1
    assert not [checked for checked in verify_readouts(tmp_path) if checked.problems]
    assert not list((tmp_path / "readouts" / "tmp").iterdir())


def test_what_an_answer_is(path):
    readout = Readout(path)
    assert single_answer(readout, "her") == 1
    assert single_answer(readout, " her") == 1
    assert single_answer(readout, "né") == 4
    with pytest.raises(UsageError, match=r"'unable' is not one token .* may be ' un'"):
        single_answer(readout, "unable")
    with pytest.raises(UsageError, match=r"'xyz' is not one token of the model's vocabulary$"):
        single_answer(readout, "xyz")
    assert (
        Words(*(readout.stored(f"vocabulary_{part}") for part in ("length", "bytes"))).id_of("")
        is None
    )


@pytest.mark.parametrize("place", [0.05, 0.5, 0.9, 0.999])
def test_damage_is_found_and_nothing_is_read(path, tmp_path, place):
    size = path.stat().st_size
    flip(path, int(size * place))
    assert [checked for checked in readout_problems(path) if checked.problems]
    dropped, left = drop_damaged(tmp_path)
    assert not left
    assert len(dropped) == 1
    assert "`actlas readout` with its model makes it again" in dropped[0]
    assert not path.exists()


def test_damaged_numbers_are_refused(path):
    offset = Readout(path).record.arrays["unembed"].offset
    flip(path, offset + 3)
    with pytest.raises(DamagedStore, match="unembed was altered"):
        _ = Readout(path).unembed


def test_a_damaged_one_is_made_again(path, tmp_path):
    flip(path, path.stat().st_size - 40)
    with pytest.raises(DamagedStore):
        Readout(path)
    _, new = add_readout(tmp_path, MODEL, "output", FACTS, arrays())
    assert new
    np.testing.assert_array_equal(Readout(path).unembed, UNEMBED)


def test_one_in_the_place_of_another_is_refused(path, tmp_path):
    other = {**MODEL, "weights": f"xxh3:{'ef' * 16}"}
    path.rename(path.with_name(file_name(other)))
    with pytest.raises(DamagedStore, match="it was renamed"):
        ReadoutSource(tmp_path, other, "it", "mine").output()


def test_none_says_what_makes_it(path, tmp_path):
    other = {**MODEL, "config": "0" * 64}
    with pytest.raises(UsageError, match=r"other weights\): `actlas readout mine --store"):
        ReadoutSource(tmp_path, other, "it", "mine").output()
    with pytest.raises(UsageError, match=r"no output matrices of attention .* --heads` stores"):
        ReadoutSource(tmp_path, MODEL, "it", "mine").heads()


def test_it_is_carried_beside_an_export(path, tmp_path):
    heads = {"w_o": of(("layer", "head", "d_head", "d_model"), np.ones((1, 1, 2, 4), np.float32))}
    add_readout(tmp_path, MODEL, "heads", {}, heads)
    for _ in range(2):
        copies = carry_readouts(tmp_path, MODEL, tmp_path / "out")
        assert [copy.name for copy in copies] == [path.name, file_name(MODEL, "heads")]
        assert copies[0].read_bytes() == path.read_bytes()
        copies[0].chmod(0o644)
        flip(copies[0], copies[0].stat().st_size // 2)  # one that is damaged is made again
    path.chmod(0o644)
    flip(path, path.stat().st_size // 2)
    with pytest.raises(DamagedStore):
        carry_readouts(tmp_path, MODEL, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_housekeeping(tmp_path):
    """A readout that no run needs is garbage; one that a run needs is counted and kept."""
    run = make_run(tmp_path / "store", SMALL, "it", model=MODEL)
    store = Store(tmp_path / "store")
    needed = add_readout(store.path, MODEL, "output", FACTS, arrays())[0]
    other = {**MODEL, "weights": f"xxh3:{'ef' * 16}"}
    unneeded = add_readout(store.path, other, "output", FACTS, arrays())[0]
    assert usage(store).readouts == needed.stat().st_size
    assert [item.path for item in collect(store, dry_run=True).garbage] == [unneeded]
    collect(store)
    assert needed.exists()
    assert not unneeded.exists()
    said = CliRunner().invoke(main, ["rm", run.id, "--store", str(store.path), "--yes"])
    assert "note: no run needs 1 readout" in said.output
    assert needed.exists()
    assert [item.kind for item in collect(store).garbage] == ["readout that no run needs"]


@pytest.mark.parametrize(
    ("facts", "unembed", "message"),
    [
        ({"norm": {"kind": "batch", "epsilon": 1}}, UNEMBED, "facts that are none"),
        ({"mask": ["[MASK]"]}, UNEMBED, "facts that are none"),
        ({"scale": "one"}, UNEMBED, "facts that are none"),
        ({}, UNEMBED.astype(np.int32), "dims or dtype of unembed"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, facts, unembed, message):
    """Whatever checksums it has."""
    given = {**arrays(), "unembed": arrays(unembed)["unembed"]}
    if unembed.dtype == np.int32:
        given["unembed"] = of(("vocabulary", "d_model"), unembed, "int32")
    with pytest.raises(DamagedStore, match=message):
        Readout(add_readout(tmp_path, MODEL, "output", {**FACTS, **facts}, given)[0])

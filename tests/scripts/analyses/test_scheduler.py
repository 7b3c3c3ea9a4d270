"""Workers of a scheduler that is there: the same store and the same results as one process."""

import json
import pickle

import pytest
import xarray as xr

from actlas.store import Store
from tests import commands
from tests.cluster import one_line, same_content, scheduler
from tests.extraction import extract_texts
from tests.small_model import TEXTS

SWEEP = ("--edit", "skip:layer=*", "--edit", "scale:layer=1,factor=0.5|2", "--unit-tokens", 60)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Scheduler file of a scheduler with two workers, which work in a folder of their own."""
    with scheduler(tmp_path_factory.mktemp("cluster"), count=2) as file:
        yield file


@pytest.fixture(scope="module")
def studied(small_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("studied")
    sites = [
        word
        for site in ("resid", "nll", "q", "k", "v", "attn_out", "mlp_out")
        for word in ("--site", site)
    ]
    (folder / "it.txt").write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")
    options = ["--model", small_model, "--store", "store", "--unit-tokens", 60]
    for arguments in (
        ["extract", "it.txt", "--name", "it"],
        ["sweep", "it.txt", "--edit", "skip:layer=*"],
    ):
        done = commands.run(folder, *arguments, *sites, *options)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_a_sweep_on_a_scheduler_stores_what_one_process_stores(
    actlas, small_model, sentence_file, address, tmp_path
):
    options = ["--model", small_model, "--json"]
    one = json.loads(actlas("sweep", sentence_file, *SWEEP, *options, "--store", "one").stdout)
    done = actlas(
        "sweep", sentence_file, *SWEEP, *options, "--store", "two", "--scheduler", address
    )
    assert done.returncode == 0, done.stderr
    two = json.loads(done.stdout)
    assert [each["name"] for each in two["variants"]] == [each["name"] for each in one["variants"]]
    stores = [Store(tmp_path / name) for name in ("one", "two")]
    for each in (one["baseline"], *one["variants"]):
        same_content(*(store.run(each["run"]) for store in stores))
    again = json.loads(
        actlas(
            "sweep",
            sentence_file,
            *SWEEP,
            *options,
            "--store",
            "two",
            "--scheduler",
            "tcp://nowhere",
        ).stdout
    )
    assert [each["computed"] for each in again["variants"]] == [
        False
    ] * 5  # all is stored: nobody is asked


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["variance", "cosine", "norms", "reconstruct", "downstream", "scan"]
)
def test_studies_on_a_scheduler_have_the_same_results(actlas, studied, address, tmp_path, command):
    word = ["--target", "her"] if command in ("variance", "cosine") else []
    reference = "it.skip*" if command == "downstream" else "it"
    for out, more in (("one", []), ("two", ["--scheduler", address])):
        done = actlas(command, reference, *word, "--store", studied / "store", "--out", out, *more)
        assert done.returncode == 0, done.stderr
        assert not done.stderr
    paths = [next((tmp_path / out).glob(f"{command}*.nc")) for out in ("one", "two")]
    one, two = (xr.load_dataset(path, engine="h5netcdf") for path in paths)
    xr.testing.assert_allclose(one, two, rtol=1e-12)
    assert one.attrs["options"] == two.attrs["options"]


@pytest.mark.slow
def test_an_export_is_studied_on_workers(actlas, studied, address, tmp_path):
    actlas("export", "it", tmp_path / "it.h5", "--store", studied / "store")
    done = actlas("variance", "./it.h5", "--target", "her", "--scheduler", address)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_error_of_a_unit_names_its_sentences(actlas, small_model, sentence_file, address):
    edit = [
        "--edit",
        "noise:site=mlp_post,layer=1,mean=1000000",
        "--stored-dtype",
        "float16",
        "--site",
        "mlp_post",
    ]
    done = actlas(
        "extract",
        sentence_file,
        "--model",
        small_model,
        "--unit-tokens",
        60,
        *edit,
        "--scheduler",
        address,
    )
    one_line(done, 1, "(sentences ", "the first '", "does not fit float16")


@pytest.mark.slow
def test_a_damaged_block_found_by_a_worker_is_one_line(actlas, studied, address, tmp_path, store):
    run = store.run("it")
    shard = run.path(run.commits[0])
    content = bytearray(shard.read_bytes())
    content[run.commits[0].sites["q"].offset] ^= 1
    shard.chmod(0o644)
    shard.write_bytes(content)
    one_line(
        actlas("variance", "it", "--target", "her", "--store", "store", "--scheduler", address),
        1,
        "q[0] was altered",
    )


def test_what_is_sent_for_a_block_is_small_however_many_units(tmp_path, small_model):
    import dask

    run, _ = extract_texts(
        tmp_path / "store", small_model, list(TEXTS) * 20, ("q",), unit_tokens=60
    )
    assert len(run.units) > 50
    (lazy,) = dask.optimize(run.dataset(("q",))["q"].data.sum())
    tasks = {key: len(pickle.dumps(task)) for key, task in dict(lazy.__dask_graph__()).items()}
    once = [size for key, size in tasks.items() if str(key).startswith("original-")]
    assert len(once) == 1  # where all blocks lie, which a worker gets one time
    assert sorted(tasks.values())[-2] < 4096

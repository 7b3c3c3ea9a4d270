"""Several workers as users have them: the same store and the same results as one process, whatever happens to a worker."""

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import xarray as xr

from actlas.store import Store
from actlas.store.checking import verify
from tests.cluster import corpus, same_content, scheduler
from tests.extraction import extract_texts
from tests.small_model import TEXTS

LINUX = pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks Linux for processes")
SWEEP = ("--edit", "skip:block=*", "--edit", "scale:block=1,factor=0.5|2", "--unit-tokens", 60)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Scheduler file of a scheduler with two workers, which work in a folder of their own."""
    with scheduler(tmp_path_factory.mktemp("cluster"), count=2) as file:
        yield file


@pytest.fixture
def started(small_model, tmp_path):
    """Start an extraction of many units in two processes, in a process group of its own, as a terminal does."""
    processes = []

    def start(*more):
        text = corpus(tmp_path, 40)
        options = [text, "--model", small_model, "--store", "store", "--unit-tokens", 60, "--name", "it", "--quiet", *more]
        command = [sys.executable, "-m", "actlas.scripts", "extract", *map(str, options)]
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def commits(folder):
    return list((folder / "store").glob("runs/*/commits/*.json"))


def wait_for_commits(process, folder, count):
    while len(commits(folder)) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def one_line(done, code, *parts):
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert all(part in done.stderr for part in ("Error: ", *parts)), done.stderr


def sound(run):
    return [problem for checked in verify(run) for problem in checked.problems] == [] and not run.missing(run.sites)


@pytest.mark.slow
def test_two_processes_store_what_one_stores(actlas, small_model, tmp_path):
    text = corpus(tmp_path, 4)
    options = ["--model", small_model, "--unit-tokens", 60, "--name", "it", "--json"]
    one = json.loads(actlas("extract", text, *options, "--store", "one").stdout)
    done = actlas("extract", text, *options, "--store", "two", "--workers", 2)
    assert done.returncode == 0, done.stderr
    two = json.loads(done.stdout)
    assert two["units"] == one["units"]
    assert two["bytes_written"] == one["bytes_written"]
    assert two["device"] == "2 workers, cpu"
    assert two["seconds"]["load"] > 0
    runs = [Store(tmp_path / name).run("it") for name in ("one", "two")]
    same_content(*runs)
    assert {commit.provenance["workers"] for commit in runs[1].commits} == {2}
    assert not list((tmp_path / "two").glob("runs/*/tmp/*"))
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["names", "runs", "store.json"]


@pytest.mark.slow
@LINUX
def test_a_killed_worker_loses_nothing(started, tmp_path):
    process = started("--workers", 2)
    wait_for_commits(process, tmp_path, 4)
    (owner, *_) = [pid for pid in children(process.pid) if holds(pid, "/store/runs/")]
    before = len(commits(tmp_path))
    os.kill(owner, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    run = Store(tmp_path / "store").run("it")
    assert before < len(run.units) == len(run.commits)
    assert sound(run)
    assert said == ""


def children(parent):
    stats = [[*path.read_text().rsplit(")", 1)[1].split(), path.parent.name] for path in Path("/proc").glob("[0-9]*/stat")]
    return [int(stat[-1]) for stat in stats if int(stat[1]) == parent]


def holds(pid, part):
    return any(part in str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_all_and_the_same_command_goes_on(started, tmp_path, number):
    process = started("--workers", 2)
    wait_for_commits(process, tmp_path, 4)
    # Ctrl-C goes to all processes of a terminal's command, a batch system's SIGTERM to the first
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    stored = len(commits(tmp_path))
    total = len(Store(tmp_path / "store").run("it").units)
    assert said == f"Error: interrupted: {stored} of {total} units are stored, run the same command again to go on\n"
    assert not list((tmp_path / "store").glob("runs/*/tmp/*"))
    again = started()
    _, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert sound(Store(tmp_path / "store").run("it"))


@pytest.mark.slow
def test_a_sweep_on_a_scheduler_stores_what_one_process_stores(actlas, small_model, sentence_file, address, tmp_path):
    options = ["--model", small_model, "--json"]
    one = json.loads(actlas("sweep", sentence_file, *SWEEP, *options, "--store", "one").stdout)
    done = actlas("sweep", sentence_file, *SWEEP, *options, "--store", "two", "--scheduler", address)
    assert done.returncode == 0, done.stderr
    two = json.loads(done.stdout)
    assert [each["name"] for each in two["variants"]] == [each["name"] for each in one["variants"]]
    stores = [Store(tmp_path / name) for name in ("one", "two")]
    for each in (one["baseline"], *one["variants"]):
        same_content(*(store.run(each["run"]) for store in stores))
    again = json.loads(
        actlas("sweep", sentence_file, *SWEEP, *options, "--store", "two", "--scheduler", "tcp://nowhere").stdout
    )
    assert [each["computed"] for each in again["variants"]] == [False] * 5  # all is stored: nobody is asked


@pytest.mark.slow
@pytest.mark.parametrize("command", ["variance", "cosine", "norms", "reconstruct", "downstream", "scan"])
def test_studies_on_a_scheduler_have_the_same_results(actlas, swept, address, tmp_path, command):
    word = ["--target", "her"] if command in ("variance", "cosine") else []
    reference = "it.skip*" if command == "downstream" else "it"
    for out, more in (("one", []), ("two", ["--scheduler", address])):
        done = actlas(command, reference, *word, "--store", swept / "store", "--out", out, *more)
        assert done.returncode == 0, done.stderr
        assert not done.stderr
    one, two = (xr.load_dataset(tmp_path / out / f"{command}.nc", engine="h5netcdf") for out in ("one", "two"))
    xr.testing.assert_allclose(one, two, rtol=1e-12)
    assert one.attrs["options"] == two.attrs["options"]


@pytest.fixture(scope="module")
def swept(small_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("swept")
    sites = [word for site in ("resid", "nll", "q", "k", "v", "attn_out", "mlp_out") for word in ("--site", site)]
    (folder / "it.txt").write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")
    options = ["--model", small_model, "--store", "store", "--unit-tokens", 60]
    for arguments in (["extract", "it.txt", "--name", "it"], ["sweep", "it.txt", "--edit", "skip:block=*"]):
        command = [sys.executable, "-m", "actlas.scripts", *arguments, *sites, *map(str, options)]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_an_export_is_studied_on_workers(actlas, swept, address, tmp_path):
    actlas("export", "it", tmp_path / "it.h5", "--store", swept / "store")
    done = actlas("variance", "./it.h5", "--target", "her", "--scheduler", address)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_error_of_a_unit_names_its_sentences(actlas, small_model, sentence_file, address):
    edit = ["--edit", "noise:site=mlp_post,layer=1,mean=1000000", "--stored-dtype", "float16", "--site", "mlp_post"]
    done = actlas("extract", sentence_file, "--model", small_model, "--unit-tokens", 60, *edit, "--scheduler", address)
    one_line(done, 1, "(sentences ", "the first '", "does not fit float16")


@pytest.mark.slow
def test_a_damaged_block_found_by_a_worker_is_one_line(actlas, swept, address, tmp_path, store):
    run = store.run("it")
    shard = run.path(run.commits[0])
    content = bytearray(shard.read_bytes())
    content[run.commits[0].sites["q"].offset] ^= 1
    shard.chmod(0o644)
    shard.write_bytes(content)
    one_line(actlas("variance", "it", "--target", "her", "--store", "store", "--scheduler", address), 1, "q[0] was altered")


@pytest.mark.slow
@pytest.mark.parametrize("hidden", ["store", "model"])
def test_a_worker_without_a_folder_is_one_line(actlas, small_model, sentence_file, tmp_path, tmp_path_factory, hidden):
    away = tmp_path if hidden == "store" else small_model
    script = f'mount -t tmpfs none "{away}" && exec "$@"'
    before = ["unshare", "-rm", "sh", "-c", script, "worker"]
    if subprocess.run([*before, "true"], capture_output=True).returncode:
        pytest.skip("hiding a folder from a process takes user namespaces, which this system refuses")
    with scheduler(tmp_path_factory.mktemp("hidden"), workers=[((), {}), (before, {})]) as file:
        wait_for_workers(file, 2)
        done = actlas("extract", sentence_file, "--model", small_model, "--store", "store", "--scheduler", file)
        one_line(
            done, 1, "worker tcp://127.0.0.1:", "does not see the ", str(tmp_path / "store" if hidden == "store" else away)
        )
        assert "does not see the folder of the store" in done.stderr or hidden == "model"
    assert [path.name for path in tmp_path.iterdir()] == [sentence_file.name]


@pytest.mark.slow
def test_a_worker_with_other_versions_is_one_line(actlas, small_model, sentence_file, tmp_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("versions")
    record = folder / "other/torch-0.0.1.dist-info/METADATA"
    record.parent.mkdir(parents=True)
    record.write_text("Metadata-Version: 2.1\nName: torch\nVersion: 0.0.1\n")
    with scheduler(folder, workers=[((), {"PYTHONPATH": str(folder / "other")})]) as file:
        done = actlas("extract", sentence_file, "--model", small_model, "--store", "store", "--scheduler", file)
    one_line(done, 1, "worker tcp://127.0.0.1:", "has torch 0.0.1", "install the same version everywhere")
    assert [path.name for path in tmp_path.iterdir()] == [sentence_file.name]


def wait_for_workers(file, count):
    """Wait until ``count`` workers are connected."""
    code = f"from distributed import Client; Client(scheduler_file={str(file)!r}).wait_for_workers({count}, timeout=60)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("command", ["extract", "variance"])
@pytest.mark.parametrize("wrong", ["closed", "silent", "web", "no address"])
def test_an_unknown_scheduler_is_one_line(actlas, small_model, sentence_file, store, tmp_path, command, wrong):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if wrong == "web":
            threading.Thread(target=answer, args=(server,), daemon=True).start()
        if wrong == "closed":
            server.close()
        address = "nonsense" if wrong == "no address" else f"tcp://127.0.0.1:{port}"
        start = time.monotonic()
        if command == "extract":
            done = actlas("extract", sentence_file, "--model", small_model, "--store", "new", "--scheduler", address)
        else:
            done = actlas("variance", "it", "--target", "her", "--store", "store", "--scheduler", address)
        assert time.monotonic() - start < 60  # a few seconds, on a machine that may be busy
    one_line(done, 2, f"no scheduler answers at {address}", "wanted the address of a dask scheduler")
    assert not (tmp_path / "new").exists()


def answer(server):
    connection, _ = server.accept()
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    connection.close()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--workers", 2, "--scheduler", "tcp://x:1"], 2, "wanted one of them"),
        (["--workers", 0], 2, "--workers"),
        (["--workers", 2, "--device", "cuda:1"], 2, "--device cuda:1 is one GPU"),
    ],
)
def test_wrong_choices_are_one_line(actlas, small_model, sentence_file, tmp_path, options, code, message):
    one_line(actlas("extract", sentence_file, "--model", small_model, "--store", "store", *options), code, message)
    assert not (tmp_path / "store").exists()


def test_without_the_extra_one_line_names_it(small_model, sentence_file, tmp_path):
    code = (
        "import importlib.util, sys; find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'distributed' else find(name, *more)\n"
        "from actlas.scripts.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "extract", str(sentence_file), "--model", str(small_model), "--workers", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    one_line(done, 1, "pip install 'actlas[cluster]'")


def test_what_is_sent_for_a_block_is_small_however_many_units(tmp_path, small_model):
    import dask

    run, _ = extract_texts(tmp_path / "store", small_model, list(TEXTS) * 20, ("q",), unit_tokens=60)
    assert len(run.units) > 50
    (lazy,) = dask.optimize(run.dataset(("q",))["q"].data.sum())
    tasks = {key: len(pickle.dumps(task)) for key, task in dict(lazy.__dask_graph__()).items()}
    once = [size for key, size in tasks.items() if str(key).startswith("original-")]
    assert len(once) == 1  # where all blocks lie, which a worker gets one time
    assert sorted(tasks.values())[-2] < 4096

"""Workers and schedulers that cannot do what is asked: one line each."""

import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.cluster import one_line, scheduler


@pytest.mark.slow
@pytest.mark.parametrize("hidden", ["store", "model"])
def test_a_worker_without_a_folder_is_one_line(
    actlas, small_model, sentence_file, tmp_path, tmp_path_factory, hidden
):
    away = tmp_path if hidden == "store" else small_model
    script = f'mount -t tmpfs none "{away}" && exec "$@"'
    before = ["unshare", "-rm", "sh", "-c", script, "worker"]
    if subprocess.run([*before, "true"], capture_output=True).returncode:
        pytest.skip(
            "hiding a folder from a process takes user namespaces, which this system refuses"
        )
    with scheduler(tmp_path_factory.mktemp("hidden"), workers=[((), {}), (before, {})]) as file:
        wait_for_workers(file, 2)
        done = actlas(
            "extract",
            sentence_file,
            "--model",
            small_model,
            "--store",
            "store",
            "--scheduler",
            file,
        )
        one_line(
            done,
            1,
            "worker tcp://127.0.0.1:",
            "does not see the ",
            str(tmp_path / "store" if hidden == "store" else away),
        )
        assert "does not see the folder of the store" in done.stderr or hidden == "model"
    assert [path.name for path in tmp_path.iterdir()] == [sentence_file.name]


@pytest.mark.slow
def test_a_worker_with_other_versions_is_one_line(
    actlas, small_model, sentence_file, tmp_path, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("versions")
    record = folder / "other/torch-0.0.1.dist-info/METADATA"
    record.parent.mkdir(parents=True)
    record.write_text("Metadata-Version: 2.1\nName: torch\nVersion: 0.0.1\n")
    with scheduler(folder, workers=[((), {"PYTHONPATH": str(folder / "other")})]) as file:
        done = actlas(
            "extract",
            sentence_file,
            "--model",
            small_model,
            "--store",
            "store",
            "--scheduler",
            file,
        )
    one_line(
        done, 1, "worker tcp://127.0.0.1:", "has torch 0.0.1", "install the same version everywhere"
    )
    assert [path.name for path in tmp_path.iterdir()] == [sentence_file.name]


def wait_for_workers(file, count):
    """Wait until ``count`` workers are connected."""
    code = (
        "from distributed import Client; "
        f"Client(scheduler_file={str(file)!r}).wait_for_workers({count}, timeout=60)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("command", ["extract", "variance"])
@pytest.mark.parametrize("wrong", ["closed", "silent", "web", "no address"])
def test_an_unknown_scheduler_is_one_line(
    actlas, small_model, sentence_file, store, tmp_path, command, wrong
):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if wrong == "web":
            threading.Thread(target=answer, args=(server,), daemon=True).start()
        if wrong == "closed":
            server.close()
        address = "nonsense" if wrong == "no address" else f"tcp://127.0.0.1:{port}"
        start = time.monotonic()
        if command == "extract":
            done = actlas(
                "extract",
                sentence_file,
                "--model",
                small_model,
                "--store",
                "new",
                "--scheduler",
                address,
            )
        else:
            done = actlas(
                "variance", "it", "--target", "her", "--store", "store", "--scheduler", address
            )
        assert time.monotonic() - start < 60  # a few seconds, on a machine that may be busy
    one_line(
        done, 2, f"no scheduler answers at {address}", "expected the address of a dask scheduler"
    )
    assert not (tmp_path / "new").exists()


def answer(server):
    connection, _ = server.accept()
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    connection.close()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--workers", 2, "--scheduler", "tcp://x:1"], 2, "expected one of them"),
        (["--workers", 0], 2, "--workers"),
        (["--workers", 2, "--device", "cuda:1"], 2, "--device cuda:1 is one GPU"),
    ],
)
def test_wrong_choices_are_one_line(
    actlas, small_model, sentence_file, tmp_path, options, code, message
):
    one_line(
        actlas("extract", sentence_file, "--model", small_model, "--store", "store", *options),
        code,
        message,
    )
    assert not (tmp_path / "store").exists()


def test_without_the_extra_one_line_names_it(small_model, sentence_file, tmp_path):
    code = (
        "import importlib.util, sys; find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'distributed' else "
        "find(name, *more)\n"
        "from actlas.scripts.cli import main; main()"
    )
    command = [
        sys.executable,
        "-c",
        code,
        "extract",
        str(sentence_file),
        "--model",
        str(small_model),
        "--workers",
        "2",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    one_line(done, 1, "pip install 'actlas[cluster]'")

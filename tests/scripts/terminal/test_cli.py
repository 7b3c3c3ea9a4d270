"""Every command has help; nothing is imported before it is needed.

Every failure is one line with the right code.
"""

import importlib.metadata
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actlas.analysis import registry
from actlas.scripts.cli import COMMANDS, load

NAMES = sorted({*COMMANDS, *registry.names()})


@pytest.mark.parametrize("name", ["", *NAMES])
def test_help(actlas, name):
    done = actlas(*name.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
    assert not done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_every_option_has_help(name):
    command = load(name)
    assert command.help
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    assert [option.name for option in options if not option.help] == []


def test_version(actlas):
    assert importlib.metadata.version("actlas") in actlas("--version").stdout


HEAVY = ("torch", "transformers", "xarray", "dask", "matplotlib", "tokenizers")


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import actlas.store", (*HEAVY, "numpy", "h5py")),
        (
            "import actlas.analysis.variance.compute, actlas.analysis.plots",
            ("torch", "transformers", "tokenizers"),
        ),
    ],
)
def test_imports_stay_light(code, heavy):
    check = f"import sys; {code}; print([name for name in {heavy!r} if name in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", check], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["variances"], 2, "No such command 'variances'. Did you mean 'variance'?"),
        (["ls"], 2, "actlas-store is not there: give another --store"),
        (["show", "x"], 2, "actlas-store is not there"),
        (["variance"], 2, "Missing argument 'RUN'"),
        (["verify", "--store", "."], 2, "not an actlas store (it has no store.json)"),
        (["extract"], 2, "Missing argument 'SENTENCES'"),
        (["extract", "none.txt"], 2, "sentence file none.txt does not exist"),
    ],
)
def test_wrong_usage_is_one_line(actlas, tmp_path, arguments, code, message):
    done = actlas(*arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("Error: ")
    assert list(tmp_path.iterdir()) == []


def test_interrupt_inside_an_import_ends_with_our_code(tmp_path):
    (tmp_path / "interrupted.py").write_text("""if True:
        from actlas.scripts import cli

        def importing(name):
            # as in dataclasses and namedtuple, while modules are imported
            exec("raise KeyboardInterrupt")

        cli.importlib.import_module = importing
        cli.main(["ls"])
    """)
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.strip()) == (130, "Error: interrupted")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks Linux which signals a process catches")
def test_sigterm_is_an_interrupt_also_before_anything_began(tmp_path):
    command = [sys.executable, "-m", "actlas.scripts", "extract", "-"]  # waits for its sentences
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        while not caught(process.pid, signal.SIGTERM):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.strip()) == (130, "Error: interrupted")
    assert list(tmp_path.iterdir()) == []


def caught(process: int, number: int) -> bool:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    mask = next(line.split()[1] for line in lines if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (number - 1) & 1)

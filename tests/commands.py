"""Commands in processes of their own.

They run as users run them, without waiting each time for torch to be imported.

A server imports what commands import and never computes; every command runs in a fork of it: own
folder, environment, output, exit code, memory, and whatever signal comes. What must start from
nothing (imports, limits of memory) starts Python itself.

``python tests/commands.py``, the server, takes requests as lines of JSON and answers each with a
number.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

PRELOADED = (
    *("click", "numpy", "h5py", "h5netcdf", "xarray", "dask.array", "xxhash", "tqdm", "jinja2"),
    *("matplotlib.figure", "matplotlib.ticker", "PIL.PngImagePlugin", "torch", "transformers"),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "tokenizers"),
    *("transformers.models.gpt2.modeling_gpt2", "safetensors.torch"),
)
OURS = ("actlas.analysis", "actlas.pipeline", "actlas.scripts", "actlas.store")
NOT_COMMANDS = ("actlas.scripts.bench", "actlas.scripts.dev", "actlas.scripts.__main__")
SECONDS = 200  # that a command may take


class Server:
    """The process that forks a child for each command; started with the first."""

    def __init__(self):
        self.process = None

    def ask(self, request, **values):
        """Return the answer to a request."""
        if self.process is None:
            command = [sys.executable, "-P", __file__]
            self.process = subprocess.Popen(
                command, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        print(json.dumps({"request": request, **values}), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def stop(self):
        """End it, if it was started."""
        if self.process is not None:
            self.process.communicate()
            self.process = None


SERVER = Server()


class Command:
    """``actlas`` with ``arguments`` in ``folder``, running; much as a ``subprocess.Popen``."""

    def __init__(
        self, folder, *arguments, stdin="", environment=None, own_group=False, file_size=None
    ):
        self.arguments = [str(argument) for argument in arguments]
        self.returncode = self.said = None
        self._scratch = tempfile.TemporaryDirectory()
        self._streams = [Path(self._scratch.name) / name for name in ("stdin", "stdout", "stderr")]
        self._streams[0].write_text(stdin, encoding="utf-8")
        self.pid = SERVER.ask(
            "start",
            arguments=self.arguments,
            folder=str(folder),
            environment={**os.environ, **(environment or {})},
            streams=[*map(str, self._streams)],
            own_group=own_group,
            file_size=file_size,
        )

    def poll(self):
        """Return the exit code, negative where a signal ended it, None while it runs."""
        if self.returncode is None:
            self.returncode = SERVER.ask("poll", child=self.pid)
            if self.returncode is not None:
                self.said = tuple(path.read_text(encoding="utf-8") for path in self._streams[1:])
                self._scratch.cleanup()
        return self.returncode

    def send_signal(self, number):
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout=SECONDS):
        """Return the exit code when it has ended."""
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                self.kill()
                raise TimeoutError(f"actlas {self.arguments} did not end within {timeout} s")
            time.sleep(0.005)
        return self.returncode

    def communicate(self, timeout=SECONDS):
        """Return standard output and error when it has ended."""
        self.wait(timeout)
        return self.said


def run(folder, *arguments, stdin="", file_size=None, **environment):
    """Run ``actlas`` with ``arguments`` in ``folder``; its files may have ``file_size`` bytes.

    Return the finished process, its output as text.
    """
    command = Command(folder, *arguments, stdin=stdin, environment=environment, file_size=file_size)
    output, errors = command.communicate()
    return subprocess.CompletedProcess(
        ["actlas", *command.arguments], command.returncode, output, errors
    )


def serve():
    """Answer until the end of the standard input."""
    import gc
    import importlib

    for name in [*PRELOADED, *ours()]:
        importlib.import_module(name)
    warm()
    gc.freeze()  # or each child would copy all of it at its first collection
    answers = {"start": start, "poll": poll}
    for line in sys.stdin:
        values = json.loads(line)
        print(json.dumps(answers[values.pop("request")](**values)), flush=True)


def ours():
    """Return the names of our modules that commands may import: none acts when it is imported."""
    import importlib
    import pkgutil

    for root in OURS:
        paths = importlib.import_module(root).__path__
        for module in pkgutil.walk_packages(paths, f"{root}."):
            if not module.name.startswith(NOT_COMMANDS):
                yield module.name


def warm():
    """Let libraries make the tables that they keep for the life of a process."""
    from importlib.util import find_spec

    from xarray.backends.plugins import list_engines

    list_engines()
    # transformers 5 compiles 1,000 patterns for the names of weights
    if find_spec("transformers.conversion_mapping"):
        from transformers.conversion_mapping import get_checkpoint_conversion_mapping

        get_checkpoint_conversion_mapping("gpt2")


def start(**values):
    """Return the id of a new process that becomes the command."""
    child = os.fork()
    if not child:
        become(**values)
    return child


def poll(child):
    """Return the exit code of a process, None while it runs."""
    ended, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def relayed(paths):
    """Go on in a child; return its ends of pipes to ``paths``, to which no limit of it applies."""
    pipes = [os.pipe() for _ in paths]
    child = os.fork()
    if not child:
        return [write for _, write in pipes]
    for (read, write), path in zip(pipes, paths, strict=True):
        os.close(write)
        with open(read, "rb") as source, open(path, "wb") as copy:  # noqa: PTH123 - descriptors
            copy.write(source.read())
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def become(arguments, folder, environment, streams, own_group, file_size):
    """Be the command; end as Python does.

    It saves the second it takes to forget all that was imported.
    """
    import atexit
    import resource
    import traceback

    if file_size is not None:
        streams = [streams[0], *relayed(streams[1:])]
        # the one that was inherited believes that it can seek
        sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    for number, path in enumerate(streams):
        flags = os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY
        os.dup2(path if isinstance(path, int) else os.open(path, flags, 0o600), number)
    if own_group:
        os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["actlas", *arguments]
    code = 1
    try:
        from actlas.scripts.cli import main

        main(prog_name="actlas")
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()

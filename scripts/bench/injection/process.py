"""A process that runs ``actlas`` commands and is hurt on order, and that looks at what they left.

One server imports everything once and forks a child for each order, so that a trial with the real
model takes a moment. Orders are JSON lines on standard input, answers JSON lines on standard
output; ``fixture.py`` gives them.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from actlas.scripts.bench.injection.allocation import fail_allocation, limit_memory
from actlas.scripts.bench.injection.harm import Harm

LONGEST = 180  # seconds until what hangs is ended, by a signal
CRASHED = 70  # exit status of a command that ended with a traceback
PRELOADED = (
    *(
        "dask.array",
        "tokenizers",
        "jinja2",
        "h5netcdf",
        "matplotlib.figure",
        "matplotlib.backends.backend_agg",
    ),
    *(
        "matplotlib.backends.backend_svg",
        "matplotlib.ticker",
        "PIL.PngImagePlugin",
        "actlas.scripts.reporting.page",
    ),
)


def obey(order: dict[str, Any]) -> None:
    """Carry out an order in this process, a child, and end it."""
    signal.alarm(LONGEST)
    for number, descriptor in ((1, "out"), (2, "err")):
        os.dup2(
            os.open(f"{order['answer']}.{descriptor}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
            number,
        )
    # both streams go to files, so that what a killed command said is kept as well
    status = look(order["look"]) if "look" in order else hurt(order)
    try:
        sys.stdout.flush()
    except OSError:
        # no handlers at exit: they belong to the server that was forked
        status = status or CRASHED
    os._exit(status)


def look(root: str) -> int:
    """Print what a trial left as JSON."""
    from actlas.scripts.bench.injection.state import state

    print(json.dumps(state(Path(root)).to_json()))
    return 0


def hurt(order: dict[str, Any]) -> int:
    """Run a command as the order says; return its exit status."""
    from actlas.scripts.cli import main

    os.chdir(order["root"])
    for name, value in order.get("constants", {}).items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    # before the limits: what prepares a trial must not meet its fault
    counted = fail_allocation(order.get("allocation", -1)) if "allocation" in order else None
    if order.get("powerless"):
        drop_capabilities()
    if "memory" in order:
        limit_memory(order["memory"])
    harm = Harm(order["root"], **order.get("harm", {}))
    harm.install()
    for name, value in order.get("limits", {}).items():
        resource.setrlimit(getattr(resource, name), (value, value))
    status = 0
    try:
        main(order["command"], prog_name="actlas")
    except SystemExit as ending:
        status = int(ending.code or 0)
    except BaseException:
        traceback.print_exc()
        status = CRASHED
    harm.finish()
    if counted:
        Path(f"{order['answer']}.allocations").write_text(str(counted()))
    return status


def drop_capabilities() -> None:
    """Let permissions hold for root too, as they do for others."""
    # capset with three empty sets (effective, permitted, inheritable), each of 64 bits
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this process
    if ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), "capset")


def prepare(order: dict[str, Any]) -> None:
    """Put a file system of its own, ``bytes`` in size, with a copy of ``base`` at ``root``.

    One that is there gets another size.

    Only our children see it.
    """
    how = f"remount,size={order['bytes']}" if order.get("remount") else f"size={order['bytes']}"
    Path(order["root"]).mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", how, "none", order["root"]], check=True)
    if not order.get("remount"):
        shutil.copytree(order["base"], order["root"], dirs_exist_ok=True)


def imported() -> None:
    """Import everything that a command may need, and load the demo model once."""
    for name in PRELOADED:
        importlib.import_module(name)
    import torch

    from actlas.analysis import registry
    from actlas.pipeline.extraction import loop as extract
    from actlas.pipeline.models import folder as models
    from actlas.scripts.cli import COMMANDS, load

    for name in (*COMMANDS, *registry.names()):
        load(name)
    # loading takes longer than all the rest of a trial, and touches no store: once is enough
    model = models.load(
        models.resolve("demo"), dtype=torch.float32, device=torch.device("cpu"), attention="sdpa"
    )
    vars(extract)["load"] = lambda *_, **__: model


def serve() -> None:
    """Fork a child for every order and answer with its exit status.

    A signal that ended it is negative.
    """
    imported()
    print("ready", flush=True)
    for line in sys.stdin:
        order, start = json.loads(line), time.perf_counter()
        if "mount" in order:
            prepare(order)
            print(json.dumps({"status": 0, "seconds": 0}), flush=True)
            continue
        # a fork of a process that has imported all: an import takes longer than most trials
        child = os.fork()
        if not child:
            obey(order)
        if "kill_after" in order:
            time.sleep(order["kill_after"])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        seconds = time.perf_counter() - start
        print(
            json.dumps({"status": os.waitstatus_to_exitcode(status), "seconds": seconds}),
            flush=True,
        )


if __name__ == "__main__":
    serve()

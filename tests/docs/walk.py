"""Go through README, the tutorial and the how-to pages as a reader does, command by command.

    python -m tests.docs.walk                 # a clean environment: PATH alone, no HOME
    python -m tests.docs.walk --container     # also another root, and a user without a name

All pages work in one folder and one store. Each line is given to a shell, each command is a process
of its own; blocks that a page marks as not run are left out. A container takes root's rights.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.docs.test_command_lines import (
    BENCH,
    ROOT,
    blocks,
    follow,
    in_order,
    other_model,
    prepare,
    written_by_reader,
)

#: folders that the root of a container has, read-only
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/ssl", "/etc/fonts")
USER = 12345  # of no passwd


def shell(line, folder):
    """Give a line to a shell; a benchmark's is left out."""
    if BENCH.match(line) or not line.strip():
        return
    started = time.monotonic()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    print(f"  {time.monotonic() - started:5.1f} s  {line}", flush=True)
    if done.returncode:
        sys.exit(f"exit code {done.returncode}: {line}\n{done.stdout}{done.stderr}")


def walk(folder):
    """Follow all pages in ``folder``."""
    pages = in_order()
    prepare(pages[0], folder)
    other_model(folder / "gpt2-xl")
    os.chdir(folder)
    for page in pages:
        print(page.relative_to(ROOT), flush=True)
        written_by_reader(page, folder)
        follow(page, folder, [("actlas-store", "atlas")], shell)
    print(f"{len(pages)} pages, {sum(len(blocks(page)) for page in pages)} blocks: all of it works")


def again(folder, container):
    """Start this module in a clean environment, in a container where asked for."""
    places = {sys.base_prefix, sys.prefix, str(ROOT), *filter(os.path.isdir, sys.path)}
    words = [
        *("env", "-i", f"PATH={Path(sys.executable).parent}:/usr/bin:/bin", "ACTLAS_STORE=atlas"),
        *("OMP_NUM_THREADS=2", f"PYTHONPATH={ROOT}", "LC_ALL=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"),
        *(sys.executable, "-m", "tests.docs.walk", "--folder"),
    ]
    if not container:
        return subprocess.run([*words, folder]).returncode
    root = Path(folder) / "root"
    script = [f"mkdir -p {root} && mount -t tmpfs none {root} && mkdir -p {root}/tmp {root}/proc"]
    script += [f"chmod 1777 {root}/tmp && mount --rbind /proc {root}/proc"]
    for place in (*SYSTEM, "/dev", *sorted(places, key=len)):
        if not Path(place).exists():
            continue
        make = "mkdir -p" if Path(place).is_dir() else f"mkdir -p $(dirname {root}{place}) && touch"
        script.append(f"[ -e {root}{place} ] || {{ {make} {root}{place}; }}")
        script.append(f"mount --rbind {place} {root}{place}")
        if place != "/dev":
            script.append(f"mount -o remount,bind,ro {root}{place}")
    inside = " ".join([*words, "/tmp/reader"])
    script.append(f"cd {root} && exec chroot --userspec={USER}:{USER} {root} {inside}")
    return subprocess.run(["unshare", "-m", "bash", "-euc", "\n".join(script)]).returncode


def main():
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--container", action="store_true")
    parser.add_argument("--folder", type=Path, help="the folder to work in, in this environment")
    given = parser.parse_args()
    if given.folder:
        given.folder.mkdir(exist_ok=True)
        walk(given.folder)
        return 0
    with tempfile.TemporaryDirectory(prefix="actlas-walk-") as folder:
        return again(folder, given.container)


if __name__ == "__main__":
    sys.exit(main())

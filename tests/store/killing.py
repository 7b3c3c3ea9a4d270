"""Kill an action on a store before each of its file operations in turn.

Each time on a fresh copy of the store.
"""

import subprocess
import sys
from pathlib import Path

#: forks, because each attempt then starts at once; in a process of its own, because that has one
#: thread
ATTEMPTS = """
import os, shutil, signal, sys
from pathlib import Path
from actlas.store import Store
{imports}
OPERATIONS = ("open", "os.rename", "os.remove", "os.rmdir", "os.link", "os.mkdir", "os.chmod")

def attempt(store, number):
    count = 0
    def kill(event, arguments):
        nonlocal count
        if event in OPERATIONS and str(store) in str(arguments[0]):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(kill)
    {action}

source, target, number = Path(sys.argv[1]), Path(sys.argv[2]), 0
while True:
    number += 1
    store = target / f"killed-{{number:04d}}"
    shutil.copytree(source, store)
    child = os.fork()
    if not child:
        attempt(store, number)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


def killed_stores(source: Path, target: Path, imports: str, action: str) -> list[Path]:
    """Return the copies of the store ``source`` as kills left them.

    The last one with ``action`` on ``store`` finished.
    """
    script = ATTEMPTS.format(imports=imports, action=action)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, source, target],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return sorted(target.glob("killed-*"))

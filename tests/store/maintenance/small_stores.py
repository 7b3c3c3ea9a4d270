"""The content of small stores, and all that lies in one."""

from tests.store.making import Content

SMALL = Content(units=((2, 1), (3,)), dtypes={"q": "float16", "nll": "float32"})


HOLDER = """
import sys
from pathlib import Path
from actlas.store.io.workspace import workspace
with workspace(Path(sys.argv[1])) as work:
    (work.folder / "draft.h5").write_bytes(b"half a unit")
    print(flush=True)
    sys.stdin.read()
"""


def everything(store):
    """Return every file with its content."""
    return {path: path.read_bytes() for path in store.path.rglob("*") if path.is_file()}

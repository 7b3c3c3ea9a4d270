"""Whether a run has so many small files that packing them is worth it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actlas.store.io.safe_open import listed

if TYPE_CHECKING:
    from actlas.store.runs.run import Run

MANY_FILES = 1000  # of a run: from here on opening it takes a second and more
SMALL_FILE = 1 << 20  # bytes: packing larger ones takes as long as opening them a hundred times


def has_many_files(run: Run) -> bool:
    """Whether a run lies in so many small files that packing makes opening it faster."""
    sizes = [path.stat().st_size for path in listed(run.folder / "shards", ".h5")]
    return len(sizes) > MANY_FILES and sum(sizes) < SMALL_FILE * len(sizes)

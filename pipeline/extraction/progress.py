"""What an extraction says while it runs, and what it did."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actlas.store.format.schema import Unit

if TYPE_CHECKING:
    from actlas.store.writing.pack import Packed


@dataclass
class ExtractionStats:
    """What an extraction did, in units, tokens, bytes of the files it wrote and seconds."""

    units: int = 0
    tokens: int = 0
    nbytes: int = 0
    lost_races: int = 0  # units that another process committed meanwhile
    device: str = ""
    packed: Packed | None = None  # its files afterwards, where they were packed
    batches: int = 1  # that a unit was cut into at last
    seconds: dict[str, float] = field(
        default_factory=lambda: {"load": 0.0, "forward": 0.0, "store": 0.0}
    )


@dataclass(frozen=True)
class Callbacks:
    """What the caller hears and says while an extraction runs."""

    committed: Callable[[Unit], None] = lambda _: None  # called for every unit that is done
    # asked at every activation; True ends it with KeyboardInterrupt
    stopped: Callable[[], bool] = lambda: False
    # held while the model computes
    model_lock: AbstractContextManager[object] = field(default_factory=nullcontext)


#: nobody hears, nobody stops
SILENT = Callbacks()

"""Where results go: ``<out>/<stage>.nc`` with ``.png`` and ``.svg`` beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actlas.store.errors import ActlasError
from actlas.store.run import Run

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

DEFAULT_RESULTS = Path("actlas-results")


@dataclass(frozen=True)
class Output:
    """The files of one stage."""

    result: Path
    figures: tuple[Path, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files written."""
        return (self.result, *self.figures)

    def __str__(self) -> str:
        """Say where they are."""
        lines = [f"result  {self.result}", *(f"figure  {path}" for path in self.figures)]
        return "\n".join(lines)

    def with_figure(self, figure: Figure) -> Output:
        """Write ``figure`` beside the result."""
        from actlas.analysis.plots import save_figure

        return replace(self, figures=(*self.figures, *save_figure(figure, self.result)))


def write_result(
    run: Run, stage: str, result: xr.Dataset, options: Mapping[str, Any], out: Path | None
) -> tuple[xr.Dataset, Output]:
    """Compute a lazy ``result`` once, write it with its provenance, and return it loaded.

    Raises ActlasError, naming the folder, where it cannot be written.
    """
    from actlas.analysis.results import save_result, with_provenance

    path = (out or DEFAULT_RESULTS / run.name) / f"{stage}.nc"
    loaded = with_provenance(result, stage=stage, runs=[run.id], options=options).compute()
    try:
        save_result(loaded, path)
    except OSError as error:
        raise ActlasError(f"cannot write {path}: {error.strerror or error} (choose another --out)") from error
    return loaded, Output(path)

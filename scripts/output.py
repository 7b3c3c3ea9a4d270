"""Where results go: ``<out>/<stage>.nc`` with ``.png`` and ``.svg`` beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """The files of one stage: its result, and what stands beside it."""

    result: Path
    figures: tuple[Path, ...] = ()
    more: tuple[Path, ...] = ()  # results too large to be part of the first

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files written."""
        return (self.result, *self.more, *self.figures)

    def __str__(self) -> str:
        """Say where they are."""
        lines = [f"result  {path}" for path in (self.result, *self.more)]
        lines += [f"figure  {path}" for path in self.figures if path.suffix == ".png"]
        lines += ["        and the same as .svg"] if self.figures else []
        return "\n".join(lines)

    def with_figure(self, figure: Figure, kind: str = "") -> Output:
        """Write ``figure`` beside the result, named like it, with ``_kind`` where a stage has several."""
        from actlas.analysis.plots import save_figure

        path = self.result.with_name(f"{self.result.stem}_{kind}.nc") if kind else self.result
        return replace(self, figures=(*self.figures, *save_figure(figure, path)))

    def with_large_result(self, run: Run, stage: str, result: xr.Dataset, options: Mapping[str, Any]) -> Output:
        """Write a lazy ``result`` chunk by chunk as ``<stage>.nc``, without ever holding it, in this process alone."""
        import dask

        path = self.result.with_name(f"{stage}.nc")
        with dask.config.set(scheduler="threads"):  # workers do not see the folder of results
            _save((run,), stage, result, options, path)
        return replace(self, more=(*self.more, path))


def write_result(
    run: Run, stage: str, result: xr.Dataset, options: Mapping[str, Any], out: Path | None, others: Sequence[Run] = ()
) -> tuple[xr.Dataset, Output]:
    """Compute a lazy ``result`` once, write it with its provenance, and return it loaded.

    others: further runs that the result is of.

    Raises ActlasError, naming the folder, where it cannot be written.
    """
    from threadpoolctl import threadpool_limits

    path = (out or DEFAULT_RESULTS / run.name) / f"{stage}.nc"
    with threadpool_limits(1, user_api="blas"):  # dask runs a task on each core already
        loaded = result.compute()
    return _save((run, *others), stage, loaded, options, path), Output(path)


def _save(runs: Sequence[Run], stage: str, result: xr.Dataset, options: Mapping[str, Any], path: Path) -> xr.Dataset:
    from actlas.analysis.results import save_result, with_provenance

    limits = {name: value for run in runs for name, value in run.limits.items()}
    result = result.assign_attrs(labels=" ".join(f"{run.labels_version}:{run.labels_digest}" for run in runs))
    described = with_provenance(result, stage=stage, runs=[run.id for run in runs], options={**options, **limits})
    try:
        save_result(described, path)
    except OSError as error:
        raise ActlasError(f"cannot write {path}: {error.strerror or error} (choose another --out)") from error
    return described

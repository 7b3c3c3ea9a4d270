"""What can be said of all runs of a store: which are variants, which is nearest, how they look."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from actlas.store.errors import DamagedStore, UsageError, quoted
from actlas.store.format.differences import differences
from actlas.store.format.run_names import variant_name, variant_suffix
from actlas.store.format.schema import Json
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    import xarray as xr


class Overview(ABC):
    """The runs of a store, looked at together."""

    path: Path

    @abstractmethod
    def names(self) -> dict[str, str]:
        """Return name → run id."""

    @abstractmethod
    def survey(self) -> tuple[list[Run], dict[str, DamagedStore]]:
        """Return the runs that can be opened, and what cannot."""

    @abstractmethod
    def run(self, reference: str) -> Run:
        """Return the run of a name or id."""

    def runs(self) -> list[Run]:
        """Return the runs that can be opened, oldest first; ``damaged`` has the others."""
        return self.survey()[0]

    def damaged(self) -> dict[str, DamagedStore]:
        """Return what cannot be opened or found, run id or name → why."""
        return self.survey()[1]

    def variants(self, baseline: str) -> list[Run]:
        """Return the runs with edits of which ``baseline`` is the id of the run without.

        Oldest first.
        """
        return [run for run in self.runs() if run.baseline_id == baseline]

    def variants_named(self, pattern: str) -> list[Run]:
        """Return the variants that ``pattern`` calls by any name of their baseline.

        Such as ``her.skip-layer-*``.
        """
        return self._called(pattern) if "." in pattern else []

    def _called(self, pattern: str) -> list[Run]:
        names: dict[str, list[str]] = {}
        for name, run_id in self.names().items():
            names.setdefault(run_id, []).append(name)
        found = []
        for run in self.runs():
            called = [
                variant_name(name, run.edits) for name in names.get(run.baseline_id or "", ())
            ]
            if any(fnmatchcase(name, pattern) for name in called):
                found.append(run)
        return found

    def nearest(self, specification: Json) -> tuple[Run, list[str]] | None:
        """Return the run whose specification differs in the fewest fields, and those fields.

        There is none in an empty store.
        """
        candidates = [(run, differences(specification, run.specification)) for run in self.runs()]
        return min(candidates, key=lambda candidate: len(candidate[1]), default=None)

    def tree(self, pattern: str, sites: str | Iterable[str] | None = None) -> xr.DataTree:
        """Return a baseline and those of its variants whose names are as ``pattern``.

        The root is the lazy Dataset of the run without edits; each variant is a child, named by its
        edits: ``tree["skip-layer-3"]``. So ``tree.map_over_datasets`` asks all of them.

        pattern: such as ``mine*``; the baseline is there in any case. sites: those that all have by
        default. Raises UsageError where no name is so, and for variants of several baselines.
        """
        import xarray as xr

        matching = {run.id: run for run in self.runs() if _is_called(run, pattern)}
        matching |= {run.id: run for run in self._called(pattern)}
        if not matching:
            raise UsageError(f"no run has a name like {quoted(pattern)}: `actlas ls` lists them")
        baselines = {run.baseline_id or run.id: run for run in matching.values()}
        if len(baselines) > 1:
            one, other = list(baselines.values())[:2]
            raise UsageError(
                f"{one.name} and {other.name} have different baselines: give a pattern of one, "
                f"such as {one.name}.*"
            )
        baseline = self.run(*baselines)
        variants = [run for run in matching.values() if run.edits]
        wanted = sites
        if wanted is None:
            common = set(baseline.sites).intersection(*(run.sites for run in variants))
            wanted = tuple(site for site in baseline.sites if site in common)
        nodes = {variant_suffix(run.edits): run.dataset(wanted) for run in variants}
        return xr.DataTree.from_dict({"/": baseline.dataset(wanted), **nodes}, name=baseline.name)

    def _repr_html_(self) -> str:
        """Show the runs in a notebook."""
        from actlas.store.reading.html import StoredRun, store_html

        runs, damaged = self.survey()
        rows = []
        for run in runs:
            try:
                sites, nbytes = " ".join(run.sites), run.nbytes
            except DamagedStore as error:
                sites, nbytes = str(error), 0
            model = run.description.get("model")
            name = model.get("name", "?") if isinstance(model, dict) else "?"
            rows.append(StoredRun(run.name, str(name), run.sentences, run.tokens, sites, nbytes))
        return store_html(str(self.path), rows, {name: str(why) for name, why in damaged.items()})


def _is_called(run: Run, pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in (*run.names, run.id))

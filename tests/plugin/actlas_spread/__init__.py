"""A study of another package: the spread of the residual stream, depth by depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actlas.analysis.declaring import Caption, Options, Study, Subject, Table, cell, option

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class SpreadOptions(Options):
    """How the spread is counted."""

    ddof: int = option(0, help="Degrees of freedom that are taken off.", bounds=(0, 1))


class Spread(Study[SpreadOptions]):
    """How widely the values of the residual stream of RUN are spread, depth by depth."""

    name = "spread"
    help = "How widely the residual stream is spread."
    heading = "Does the stream spread?"
    question = "Does each layer widen the stream?"
    options = SpreadOptions
    needs = ("resid",)
    numbers = ("spread",)

    def compute(self, subject: Subject, options: SpreadOptions) -> xr.Dataset:
        """Return ``spread`` (depth)."""
        resid = subject.dataset["resid"]
        return resid.std(("token", "d_model"), ddof=options.ddof).to_dataset(name="spread")

    def tables(self, result: xr.Dataset) -> list[Table]:
        """Return a row a depth."""
        rows = [(cell(int(at["depth"]), "d"), cell(at)) for at in result["spread"]]
        return [Table.of("Spread by depth", ("depth", "std"), rows)]

    def figures(self, result, subject, options):
        """Return the profile."""
        from matplotlib.figure import Figure

        figure = Figure()
        figure.subplots().plot(result["depth"], result["spread"])
        return {"": (figure, Caption("Spread by depth", "Look where it grows."))}

    def findings(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Say how it grows."""
        values = result["spread"].values
        return [f"the spread goes from {values[0]:.3g} to {values[-1]:.3g}"]

"""Study 1, first half, as users meet it: ``actlas variance``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actlas.analysis.declaring import Caption, Subject, Table, cell, option
from actlas.analysis.declaring.layers import spread_out
from actlas.analysis.declaring.study import Figures
from actlas.analysis.declaring.target import (
    TargetOptions,
    TargetStudy,
    heads_note,
    with_selection,
)

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.declaring.study import Axes

SHOWN_LAYERS = 9


@dataclass(frozen=True)
class VarianceOptions(TargetOptions):
    """The word, and how often it is resampled."""

    bootstrap: int = option(0, help="Resamples for a 95 % band; 0 for none.", bounds=(0, 100_000))


class Variance(TargetStudy[VarianceOptions]):
    """Variance and mean of target and control tokens in Q, K and V of RUN, layer by layer.

    Near zero: the model treats the word alike everywhere. Growth with depth: context enters.
    """

    name = "variance"
    help = "Variance and mean of target and control tokens, layer by layer."
    heading = "How context enters the word"
    question = (
        "The target is one and the same word in every sentence, the control another token each "
        "time. What differs between the sentences in Q, K and V is what context has put there."
    )
    options = VarianceOptions
    numbers = ("variance",)

    def compute(self, subject: Subject, options: VarianceOptions) -> xr.Dataset:
        """Return variances and means by group, projection and layer.

        With the bootstrap's bounds.
        """
        from actlas.analysis.data.tokens import select_tokens
        from actlas.analysis.variance.compute import variance_bootstrap, variance_profile

        selection = select_tokens(subject.dataset, options.word)
        result = variance_profile(subject.dataset, selection)
        if options.bootstrap:
            result["variance_bootstrap"] = variance_bootstrap(
                subject.dataset, selection, resamples=options.bootstrap, seed=options.seed
            )
        return with_selection(result, selection, subject)

    def tables(self, result: xr.Dataset) -> list[Table]:
        """Return the variances, a row a layer."""
        variance = result["variance"].transpose("layer", "projection", "group")
        header = [
            f"{str(projection).upper()} {group}"
            for projection in variance["projection"].values
            for group in variance["group"].values
        ]
        rows = [
            (cell(layer, "d"), *map(cell, numbers.ravel()))
            for layer, numbers in zip(variance["layer"].values, variance.values, strict=True)
        ]
        caption = "Variance over tokens, mean over features" + heads_note(result)
        return [Table.of(caption, ("layer", *header), rows)]

    def overview(self, result: xr.Dataset, subject: Subject) -> list[Table]:
        """Return some of the layers."""
        return self.tables(result.isel(layer=spread_out(result.sizes["layer"], SHOWN_LAYERS)))

    def figures(self, result: xr.Dataset, subject: Subject, options: VarianceOptions) -> Figures:
        """Return the profile."""
        from actlas.analysis import plots

        caption = Caption(
            "Variance of target and control, layer by layer",
            "Near zero, the model treats the word alike in every sentence. Look whether the target "
            "starts there and grows with depth, while the control is diverse from the start.",
        )
        return {"": (plots.variance_profile(result, options.target), caption)}

    def panel(
        self, axes: Axes, result: xr.Dataset, subject: Subject, options: VarianceOptions
    ) -> None:
        """Draw the variance of each projection over layers."""
        from actlas.analysis import plots

        plots.variance_panel(axes, result, options.target)

    def findings(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Say how the variances of each projection go from the first layer to the last."""
        found, layers = self.compared(result, subject), result["layer"].values
        for projection in result["projection"].values:
            ends = result["variance"].sel(projection=projection).isel(layer=[0, -1])
            target, control = (ends.sel(group=group).values for group in ("target", "control"))
            found.append(
                f"variance in {str(projection).upper()} from layer {layers[0]} to {layers[-1]}: "
                f"target {target[0]:.3g} to {target[1]:.3g}, "
                f"control {control[0]:.3g} to {control[1]:.3g}"
            )
        return found

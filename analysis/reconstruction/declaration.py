"""Study 2, sums, as users meet it: ``actlas reconstruct``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from actlas.analysis.declaring import Check, PlannedRun, Subject, Table
from actlas.analysis.declaring import option as option
from actlas.analysis.declaring.group_tables import apart, with_groups
from actlas.analysis.declaring.groups import GroupOptions, GroupStudy, first_token_option
from actlas.analysis.declaring.laws import ADD, check_sum
from actlas.analysis.declaring.layers import spread_out
from actlas.analysis.declaring.options import WRITTEN
from actlas.analysis.declaring.study import Charts, Figures
from actlas.analysis.reconstruction.by_group import correlation_tables, with_correlations
from actlas.store.errors import UsageError
from actlas.store.format.parts import ranges

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.declaring.study import Axes
    from actlas.analysis.reconstruction.laminar import Mask

POOLED = "a sum holds for each token by itself: of a word, its last"
SHOWN = 5  # pairs of depths of groups in a terminal


@dataclass(frozen=True)
class ReconstructOptions(GroupOptions):
    """Which entries the correlation of depths keeps, and which depths are drawn."""

    refused: ClassVar[Mapping[str, str]] = {"pool": POOLED}

    first_token: str = first_token_option("include")
    pair: str | None = option(
        None,
        help="Draw these two depths against each other, such as 10,11.",
        metavar="D,D+1",
        heading=WRITTEN,
    )
    quantile: float | None = option(
        None,
        help="Share of entries that the correlation of depths keeps, those of the smallest "
        "|value|.  [default: 0.99]",
    )
    threshold: float | None = option(
        None, help="Keep entries with a smaller |value| than this, instead of a quantile."
    )
    depths_only: bool = option(
        False,
        help="Leave the sums out: correlate consecutive depths alone, which is possible whatever a "
        "layer does.",
    )
    unchecked: bool = option(
        False,
        help="Do not compare checksums: to see what altered numbers do, and where they are.",
        command_only=True,
    )

    def __post_init__(self) -> None:
        """Raise UsageError for a mask or a pair of depths that is none too."""
        super().__post_init__()
        if (self.quantile, self.threshold) != (None, None):
            _ = self.mask
        parse_pair(self.pair)

    @property
    def mask(self) -> Mask:
        """Which entries take part in the correlation of depths."""
        from actlas.analysis.reconstruction.laminar import Mask

        quantile = 0.99 if self.quantile is None and self.threshold is None else self.quantile
        return Mask(quantile, self.threshold, first_token=self.first_token == "include")


def parse_pair(text: str | None, deepest: int | None = None) -> int | None:
    """Return the lower of two consecutive depths such as ``10,11``.

    Raises UsageError for what is no such pair, or lies below ``deepest``.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d{1,9})\s*,\s*(\d{1,9})\s*", text)
    if not match:
        raise UsageError(f"--pair {text!r} is not a pair of depths: expected such as 0,1")
    lower, upper = int(match[1]), int(match[2])
    if deepest is not None and max(lower, upper) > deepest:
        raise UsageError(
            f"--pair {text!r}: depth {max(lower, upper)} is not within 0-{deepest}, "
            "the depths of this run"
        )
    if upper != lower + 1:
        raise UsageError(
            f"--pair {text!r}: {lower} and {upper} are not consecutive: "
            f"expected such as {lower},{lower + 1}"
        )
    return lower


class Reconstruct(GroupStudy[ReconstructOptions]):
    """Check that each layer of RUN is a sum: h[l+1] = h[l] + attn_out[l] + mlp_out[l].

    The sum is the same where attention and MLP read one input, as in GPT-NeoX. Where a LayerNorm
    follows each sum, as in BERT, there is none to check: --depths-only does the rest. With
    `resid_mid` both halves are checked too. The verdict is by the rounding of the dtypes that
    RUN was computed and stored in; exit code 1 where a layer is not its sum. Beside it, Pearson's r
    between consecutive depths, with the largest values masked.
    """

    name = "reconstruct"
    help = "Check that each layer is the sum of its parts; correlate consecutive depths."
    heading = "How much does each layer change the stream, and is it a sum?"
    question = (
        "A layer adds what its attention and its MLP give to what it was given. On stored numbers "
        "that is arithmetic: anything beyond rounding is a fault."
    )
    examples = ("actlas reconstruct her-demo --store actlas-demo/store --pair 6,7",)
    options = ReconstructOptions
    needs = ("resid", "attn_out", "mlp_out")
    optional = ("resid_mid",)
    numbers = (
        *("max_abs_error", "relative_error", "correlation", "rounding"),
        *("laminar_correlation", "excluded_share", "group_correlation"),
        *("group_correlation_interval", "group_correlation_contrast"),
    )

    def check(self, options: ReconstructOptions, planned: PlannedRun) -> None:
        """Raise UsageError for a pair of depths, a sum or a group that the run does not have."""
        super().check(options, planned)
        parse_pair(options.pair, planned.layers)
        if not options.depths_only:
            check_sum("the model", planned.law)

    def sites(
        self, options: ReconstructOptions, stored: Sequence[str], run: str
    ) -> tuple[str, ...]:
        """Return the parts of the sums too, unless they are left out."""
        return ("resid",) if options.depths_only else super().sites(options, stored, run)

    def checked(self, options: ReconstructOptions) -> bool:
        """Whether checksums are compared while reading."""
        return not options.unchecked

    def recorded(self, options: ReconstructOptions, sites: tuple[str, ...]) -> dict[str, Any]:
        """Return the mask, the pair that is drawn, and which sums there are."""
        pair, checked = parse_pair(options.pair), self.checked(options)
        known = {**asdict(options.mask), **asdict(options), "quantile": options.mask.quantile}
        del known["unchecked"], known["depths_only"]
        return {**known, "pair": pair, "sites": sites, "checked": checked}

    def words(self, options: ReconstructOptions) -> str:
        """Return what groups are of, the pair, and whether the sums are left out."""
        pair = parse_pair(options.pair)
        words = [super().words(options), "depths only" if options.depths_only else ""]
        words += [] if pair is None else [f"pair {pair} {pair + 1}"]
        return " ".join(filter(None, words))

    def compute(self, subject: Subject, options: ReconstructOptions) -> xr.Dataset:
        """Return errors of the sums by layer, and correlations by pair of depths."""
        from actlas.analysis.norms.depths import stored_layers
        from actlas.analysis.reconstruction.compute import edited_layers, reconstruction
        from actlas.analysis.reconstruction.laminar import laminar_correlation

        if not options.depths_only:
            check_sum(f"run {subject.name}: its model", subject.law)
        resid, groups = subject.dataset["resid"], self.groups(subject.dataset, options)
        deepest = int(resid["depth"].values[-1]) if "depth" in resid.coords else len(resid) - 1
        pair, known = parse_pair(options.pair, deepest), stored_layers(resid)[1].tolist()
        judged = set(known)
        if "layer" in subject.dataset.coords:
            judged &= set(subject.dataset["layer"].values.tolist())
        if not judged:
            held, last = resid["depth"].values.tolist(), subject.layers or deepest
            absent = ranges(set(range(last + 1)).difference(held)) or "none"
            raise UsageError(
                f"run {subject.name} has no layer with input, output and all that is added: "
                f"resid has depths {ranges(held)}, missing {absent}: "
                f"`actlas extract … --layers 0-{last - 1}` adds all that is missing"
            )
        if pair is not None and pair not in known:
            raise UsageError(
                f"--pair {pair},{pair + 1}: run {subject.name} has not both; "
                f"the lower may be {', '.join(map(str, known))}"
            )
        result = with_correlations(laminar_correlation(resid, options.mask), resid, groups, options)
        if not options.depths_only:
            halves = subject.law == ADD
            sums = reconstruction(subject.dataset, precision(subject), halves=halves)
            result = sums.merge(result, join="exact")
        return with_groups(result, groups).assign_attrs(edited=edited_layers(subject.edits))

    def tables(self, result: xr.Dataset) -> list[Table]:
        """Return the errors of every sum, and the correlation of each pair of depths."""
        from actlas.analysis.reconstruction.tables import pair_table, sum_table

        tables = [*([sum_table(result)] if "sum" in result.dims else []), pair_table(result)]
        return [*tables, *correlation_tables(result)]

    def overview(self, result: xr.Dataset, subject: Subject) -> list[Table]:
        """Return a row a layer: its error, what is to be said of it, and the correlation."""
        from actlas.analysis.reconstruction.tables import layer_table, pair_table

        main = layer_table(result) if "sum" in result.dims else pair_table(result)
        some = result.isel(pair=spread_out(result.sizes["pair"], SHOWN))
        return [main, *correlation_tables(some)]

    def figures(self, result: xr.Dataset, subject: Subject, options: ReconstructOptions) -> Figures:
        """Return errors beside correlations, and the pair of depths."""
        from actlas.analysis.reconstruction.figures import depth_pair, reconstruction_profile
        from actlas.analysis.reconstruction.findings import captions
        from actlas.analysis.reconstruction.laminar import pair_entries

        drawn = {"": reconstruction_profile(result, result.attrs["edited"])}
        pair = parse_pair(options.pair)
        if pair is not None:
            lower, upper, note = pair_entries(subject.dataset["resid"], pair, options.mask)
            drawn["pair"] = depth_pair(lower, upper, result.sel(pair=pair), note)
        noted = captions(result)
        return {kind: (figure, noted[kind]) for kind, figure in drawn.items()}

    def charts(self, result: xr.Dataset) -> Charts:
        """Return errors beside correlations."""
        from actlas.analysis.reconstruction.charts import sums_chart

        return {"": sums_chart(result)}

    def panel(
        self, axes: Axes, result: xr.Dataset, subject: Subject, options: ReconstructOptions
    ) -> None:
        """Draw the errors of the sums over layers; without sums, the correlation of depths."""
        from actlas.analysis.reconstruction.figures import reconstruction_panel

        reconstruction_panel(axes, result, result.attrs["edited"])

    def findings(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Say which layer changes the stream most, and whether every layer is its sum.

        A sum that does not hold comes first.
        """
        from actlas.analysis.reconstruction.findings import change_line
        from actlas.analysis.reconstruction.verdict import verdict_line

        found = change_line(result)
        if "sum" in result.dims:
            wrong, line = verdict_line(result, subject)
            found = [line, *found] if wrong else [*found, line]
        found += apart(result, "group_correlation", "the correlation of depths")
        return [*found, *result.attrs.get("group_notes", [])]

    def checks(self, result: xr.Dataset) -> list[Check]:
        """Judge the sums: rounding above 1 at a layer whose output was not edited is a fault."""
        if "sum" not in result.dims:
            return []
        edited = [int(layer) for layer in result.attrs.get("edited", [])]
        rounding = result["rounding"].where(~result["layer"].isin(edited), drop=True)
        most = float(rounding.max(skipna=False)) if rounding.size else 0.0
        wrong = int((~(rounding <= 1)).any("sum").sum())
        judged = f"{rounding.sizes['layer']} layers judged"
        how = f"errors at most {most:.2g} of what rounding may do"
        if wrong:
            much = "inf" if math.isnan(most) else f"{most:.3g}"
            how = f"{wrong} differ by up to {much} times what rounding explains"
        return [Check("Every layer is the sum of its parts", not wrong, f"{judged}: {how}")]


def precision(subject: Subject) -> Any:
    """Return what rounding may do to the sums of a run."""
    from actlas.analysis.reconstruction.compute import Precision

    return Precision(subject.numerics["dtype"], subject.numerics["stored_dtype"])

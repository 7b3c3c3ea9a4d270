"""Attribution as users meet it: ``actlas attribute``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actlas.analysis.attribution.asking import (
    AnswerOptions,
    check_law,
    check_whole,
    chosen_answers,
    pair_text,
)
from actlas.analysis.declaring import Caption, Check, PlannedRun, Study, Subject, Table, option
from actlas.analysis.declaring.layers import spread_out
from actlas.analysis.declaring.study import Figures
from actlas.store.errors import unknown

if TYPE_CHECKING:
    import xarray as xr

TOLERANCE = 1e-4  # of sums, relative above 1, in float32
SHOWN = 9  # layers in a terminal


@dataclass(frozen=True)
class AttributeOptions(AnswerOptions):
    """Whose logit, compared with whose, at which tokens, and whether heads are told apart."""

    heads: bool = option(
        False,
        help="Say what each head adds; takes `actlas readout MODEL --heads`.",
    )


class Attribute(Study[AttributeOptions]):
    """What attention, MLP and each head of RUN add to the logit of an answer (direct attribution).

    With the final norm's divisor frozen, a logit is a sum over what was written into the residual
    stream. What a part adds is not what its removal takes away: later parts read it too. Of a run
    with edits, the change from the run without stands beside it. Needs the model's readout, which
    `actlas extract` stores, and neither the model nor torch.
    """

    name = "attribute"
    help = "What attention, MLP and each head add to the logit of an answer."
    heading = "Who writes the answer"
    question = (
        "The logit of an answer is a sum over everything that was written into the residual "
        "stream. Which layers and heads write it?"
    )
    options = AttributeOptions
    needs = ("resid", "attn_out", "mlp_out")
    variants = "baseline"
    numbers = (
        "mean_attribution",
        "change_attribution",
        "change_difference",
        "mean_head",
        "mean_difference",
        "tokens",
    )

    def check(self, options: AttributeOptions, planned: PlannedRun) -> None:
        """Raise UsageError for a column that the sentences do not have, and without sums."""
        for column in (options.answer_column, options.against_column):
            if column is not None and column not in planned.columns:
                raise unknown("column", column, planned.columns)
        check_law("the model", planned.law)

    def sites(self, options: AttributeOptions, stored: Sequence[str], run: str) -> tuple[str, ...]:
        """Return the values of heads too, where they are asked for."""
        return (*self.needs, "z") if options.heads else self.needs

    def words(self, options: AttributeOptions) -> str:
        """Return the answers."""
        return options.asked

    def compute(self, subject: Subject, options: AttributeOptions) -> xr.Dataset:
        """Return what each part adds at each token, and means with their bands."""
        from actlas.analysis.attribution.compute import attribution
        from actlas.analysis.attribution.means import cluster_means
        from actlas.analysis.reconstruction.compute import edited_layers

        check_law(f"run {subject.name}: its model", subject.law)
        check_whole(subject)
        readout, answers = subject.readout, chosen_answers(subject, options)
        heads = subject.readouts.heads() if options.heads and subject.readouts else None
        edited = edited_layers(subject.edits)
        result = attribution(subject.dataset, readout, answers, heads, edited)
        named = {"attribution": "attribution", "difference": "logit_difference"}
        named |= {"head": "head_attribution"} if heads else {}
        clusters = result["sentence"].values
        for name, variable in named.items():
            means = cluster_means(result[variable], clusters, options.seed)
            result[f"mean_{name}"], result[f"{name}_bounds"] = means["mean"], means["bounds"]
        for baseline in subject.variants:
            before = attribution(baseline.dataset, readout, answers, heads)
            changed = {"difference": "logit_difference"} | {
                name: variable for name, variable in named.items() if name != "attribution"
            }
            for name, variable in changed.items():
                result[f"change_{name}"] = (result[variable] - before[variable]).mean("token")
            parts = result["attribution"].sel(part=before["part"].values)
            result["change_attribution"] = (parts - before["attribution"]).mean("token")
        result["mean_embedding"] = result["embedding"].mean("token")
        result["mean_bias"] = result["bias"].mean("token")
        found = {
            "asked": pair_text(subject, answers),
            "tokens": len(answers.tokens),
            "sentences": len(set(clusters.tolist())),
            "readout": readout.digest,
            "edited": edited,
            "capped": readout.cap is not None,
            "float32": set(_dtypes(subject)) == {"float32"},
        }
        return result.assign_attrs(found)

    def tables(self, result: xr.Dataset) -> list[Table]:
        """Return what attention and MLP add, a row a layer, and the heads that add most."""
        from actlas.analysis.attribution.tables import head_table, layer_table

        return [layer_table(result), *([head_table(result)] if "mean_head" in result else [])]

    def overview(self, result: xr.Dataset, subject: Subject) -> list[Table]:
        """Return some of the layers, and the heads that add most."""
        from actlas.analysis.attribution.tables import layer_table

        some = result.isel(layer=spread_out(result.sizes["layer"], SHOWN))
        return [layer_table(some), *self.tables(result)[1:]]

    def figures(self, result: xr.Dataset, subject: Subject, options: AttributeOptions) -> Figures:
        """Return the bars by layer, and the map of heads."""
        from actlas.analysis.attribution.figures import attribution_bars, head_map

        title = f"What adds to {result.attrs['asked']}"
        bars = Caption(
            "What attention and MLP of each layer add to the logit difference",
            "Bars above 0 write the answer, below 0 against it; lines are 95 % bands over "
            "sentences. Look which few layers make most of it.",
        )
        drawn = {"": (attribution_bars(result, title), bars)}
        if "mean_head" in result:
            heads = Caption(
                "What each head adds",
                "Look for single heads that stand out. What a head adds is not what its removal "
                "takes away.",
            )
            drawn["heads"] = (head_map(result["mean_head"], title), heads)
        return drawn

    def findings(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Say how large the difference is, who adds most, and whether the parts add up."""
        from actlas.analysis.attribution.tables import sentences

        return sentences(result)

    def checks(self, result: xr.Dataset) -> list[Check]:
        """Hold the sum of the parts against the logit difference, in float32."""
        from actlas.analysis.attribution.tables import head_error, sum_error

        if not result.attrs.get("float32"):
            return []
        claims = {"The parts add up to the logit difference": sum_error(result)}
        if "head_attribution" in result:
            claims["Heads add up to what attention adds"] = head_error(result)
        checks = []
        for claim, error in claims.items():
            checks.append(Check(claim, error <= TOLERANCE, f"differs by at most {error:.1e}"))
        return checks


def _dtypes(subject: Subject) -> Sequence[str]:
    return [str(subject.numerics.get(name, "")) for name in ("dtype", "stored_dtype")]

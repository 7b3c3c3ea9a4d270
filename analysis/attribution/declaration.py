"""Attribution as users meet it: ``actlas attribute``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actlas.analysis.declaring import (
    Caption,
    Check,
    Options,
    PlannedRun,
    Study,
    Subject,
    Table,
    option,
)
from actlas.analysis.declaring.groups import SEEDS
from actlas.analysis.declaring.laws import SUMS, no_sum
from actlas.analysis.declaring.layers import spread_out
from actlas.analysis.declaring.study import Figures
from actlas.store.errors import UsageError, quoted, unknown

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.attribution.compute import Answers

TOLERANCE = 1e-4  # of sums, relative above 1, in float32
SHOWN = 9  # layers in a terminal


@dataclass(frozen=True)
class AttributeOptions(Options):
    """Whose logit, compared with whose, at which tokens."""

    answer: str | None = option(
        None,
        help="The word whose logit is taken apart. It is one token, with a space before it where "
        "there is such a token.",
        metavar="WORD",
    )
    against: str | None = option(
        None,
        help="The word it is compared with; without it the logit itself, which mixes in what moves "
        "all words.",
        metavar="WORD",
    )
    answer_column: str | None = option(
        None, help="Take the answer of each sentence from this column.", metavar="COLUMN"
    )
    against_column: str | None = option(
        None, help="Take what it is compared with from this column.", metavar="COLUMN"
    )
    at: str = option(
        "auto",
        help="Look at the tokens before the answer; before either of the two, where the one that "
        "follows is the answer; or at the last of each sentence. auto: either for two words, "
        "before for one, last with columns.",
        choices=("auto", "before", "either", "last"),
    )
    heads: bool = option(
        False,
        help="Say what each head adds; takes `actlas readout MODEL --heads`.",
    )
    seed: int = option(0, help="Seed of the bootstrap over sentences.", bounds=SEEDS)

    def __post_init__(self) -> None:
        """Raise UsageError unless one answer is given, and of the same kind as ``against``."""
        super().__post_init__()
        if (self.answer is None) == (self.answer_column is None):
            raise UsageError("give --answer WORD or --answer-column COLUMN, one of the two")
        if self.answer is None and self.against is not None:
            raise UsageError("--against goes with --answer: give --against-column COLUMN")
        if self.answer is not None and self.against_column is not None:
            raise UsageError("--against-column goes with --answer-column: give --against WORD")
        if self.answer is None and self.at in ("before", "either"):
            raise UsageError(
                f"--at {self.at} goes with --answer: columns are asked at the last token"
            )
        if self.against is None and self.at == "either":
            raise UsageError("--at either is for two words: give --against WORD")


class Attribute(Study[AttributeOptions]):
    """What attention, MLP and each head of RUN add to the logit of an answer (direct attribution).

    With the final norm's divisor frozen, a logit is a sum over what was written into the residual
    stream. What a part adds is not what its removal takes away: later parts read it too. Needs the
    model's readout, which `actlas extract` stores, and neither the model nor torch.
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
    numbers = ("mean_attribution", "mean_head", "mean_difference", "tokens")

    def check(self, options: AttributeOptions, planned: PlannedRun) -> None:
        """Raise UsageError for a column that the sentences do not have, and without sums."""
        for column in (options.answer_column, options.against_column):
            if column is not None and column not in planned.columns:
                raise unknown("column", column, planned.columns)
        _check_law("the model", planned.law)

    def sites(self, options: AttributeOptions, stored: Sequence[str], run: str) -> tuple[str, ...]:
        """Return the values of heads too, where they are asked for."""
        return (*self.needs, "z") if options.heads else self.needs

    def words(self, options: AttributeOptions) -> str:
        """Return the answers."""
        asked = (options.answer, options.against, options.answer_column, options.against_column)
        return " ".join(filter(None, asked))

    def compute(self, subject: Subject, options: AttributeOptions) -> xr.Dataset:
        """Return what each part adds at each token, and means with their bands."""
        from actlas.analysis.attribution.compute import attribution
        from actlas.analysis.attribution.means import cluster_means
        from actlas.analysis.reconstruction.compute import edited_layers

        _check_law(f"run {subject.name}: its model", subject.law)
        _check_whole(subject)
        readout, answers = subject.readout, _answers(subject, options)
        heads = subject.readouts.heads() if options.heads and subject.readouts else None
        edited = edited_layers(subject.edits)
        result = attribution(subject.dataset, readout, answers, heads, edited)
        named = {"attribution": "attribution", "difference": "logit_difference"}
        named |= {"head": "head_attribution"} if heads else {}
        clusters = result["sentence"].values
        for name, variable in named.items():
            means = cluster_means(result[variable], clusters, options.seed)
            result[f"mean_{name}"], result[f"{name}_bounds"] = means["mean"], means["bounds"]
        result["mean_embedding"] = result["embedding"].mean("token")
        result["mean_bias"] = result["bias"].mean("token")
        found = {
            "asked": _asked(subject, answers),
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


def _check_law(whose: str, law: str) -> None:
    if law not in SUMS:
        raise UsageError(f"{whose} has no logit that is a sum of its parts: {no_sum(law)}")


def _check_whole(subject: Subject) -> None:
    """Raise UsageError for an export of some layers."""
    depths = subject.dataset.sizes["depth"]
    numbers = (
        subject.dataset["depth"].values if "depth" in subject.dataset.coords else range(depths)
    )
    if list(numbers) != list(range(depths)) or subject.dataset.sizes["layer"] != depths - 1:
        raise UsageError(
            f"{subject.name} has some of the layers: a logit is a sum over all, use the whole run"
        )


def _answers(subject: Subject, options: AttributeOptions) -> Answers:
    from actlas.analysis.attribution import answers

    dataset, readout = subject.dataset, subject.readout
    try:
        if options.answer_column is not None:
            columns = options.answer_column, options.against_column
            return answers.column_answers(dataset, readout, *columns)
        auto = answers.BEFORE if options.against is None else answers.EITHER
        at = auto if options.at == "auto" else options.at
        return answers.word_answers(dataset, readout, str(options.answer), options.against, at)
    except UsageError as error:
        raise UsageError(f"run {subject.name}: {error}") from error


def _asked(subject: Subject, answers: Answers) -> str:
    """Return such as "' her' − ' him'"; of many pairs, how many."""
    pairs, _ = answers.pairs()
    if len(pairs) == 2 and (pairs[0] == pairs[1][::-1]).all():
        one, other = (quoted(subject.readout.words[int(number)]) for number in pairs[0])
        return f"{one} or {other}, the one that follows − the other"
    if len(pairs) > 1:
        return f"{len(pairs)} pairs of answers"
    words = [quoted(subject.readout.words[int(number)]) for number in pairs[0] if number >= 0]
    return " − ".join(words)


def _dtypes(subject: Subject) -> Sequence[str]:
    return [str(subject.numerics.get(name, "")) for name in ("dtype", "stored_dtype")]

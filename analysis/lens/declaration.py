"""The lens as users meet it: ``actlas lens``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from actlas.analysis.declaring import (
    Check,
    Subject,
    Table,
    cell,
    option,
)
from actlas.analysis.declaring.group_tables import (
    apart,
    contrast_table,
    control_note,
    with_groups,
)
from actlas.analysis.declaring.groups import ReadOptions, ReadStudy, first_token_option
from actlas.analysis.declaring.layers import spread_out
from actlas.analysis.declaring.options import WRITTEN
from actlas.analysis.declaring.phrases import bracket_note
from actlas.analysis.declaring.study import Charts, Figures
from actlas.store.errors import UsageError

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.data.sentences import Indices
    from actlas.analysis.declaring.study import Axes
    from actlas.analysis.groups.token_groups import TokenGroups

MOST_FLOPS = 1e14  # without --yes: an hour on a laptop
FLOPS = 3e10  # a second on a core, about
SILENT = 5.0  # seconds that need no notice
TOLERANCE = 1e-4  # of the stored loss and the last depth, relative above 1, in float32
SHOWN = 9  # depths in a terminal


@dataclass(frozen=True)
class LensOptions(ReadOptions):
    """Which tokens and answers are looked at, and which sentence is drawn."""

    answer: tuple[str, ...] = option(
        (),
        help="Give the logit of this word at every depth; may be repeated. It is one token, with "
        "a space before it where there is such a token.",
        metavar="WORD",
    )
    first_token: str = first_token_option("group")
    first: int | None = option(
        None, help="Read only the first N sentences.", bounds=(1, 1 << 31), metavar="N"
    )
    sentence: int = option(
        0, help="Draw this sentence, counted from 0.", bounds=(0, 1 << 31), heading=WRITTEN
    )
    yes: bool = option(
        False, help="Begin a computation of more than 10¹⁴ operations.", command_only=True
    )


class Lens(ReadStudy[LensOptions]):
    """What the model of RUN would say at each depth of the residual stream (logit lens).

    Every depth is given to the final norm and the unembedding as if it were the last. Loss and
    rank are of the token itself, predicted from the one before it; entropy, divergence from the
    last depth and first choices are of what a token predicts. Of a run with edits, the loss of the
    run without stands beside it. Needs the model's readout, which
    `actlas extract` stores, and neither the model nor torch. Of a model of masked tokens, the mask
    tokens are read.
    """

    name = "lens"
    help = "What the model would say at each depth, in words."
    heading = "What would the model say at each depth?"
    question = (
        "The residual stream is read as if each depth were the last. Early depths are not "
        "calibrated: it is a lens, not a belief."
    )
    examples = ("actlas lens her-demo --store actlas-demo/store --sentence 3",)
    options = LensOptions
    needs = ("resid",)
    optional = ("nll",)
    variants = "baseline"
    numbers = (
        *("mean_nll", "mean_kl", "mean_entropy", "tokens", "agreement"),
        *("mean_nll_interval", "mean_nll_contrast", "mean_nll_contrast_interval"),
    )

    def recorded(self, options: LensOptions, sites: tuple[str, ...]) -> dict[str, Any]:
        """Return what decides the numbers and the figure."""
        return {name: value for name, value in asdict(options).items() if name != "yes"}

    def words(self, options: LensOptions) -> str:
        """Return answers, and what groups are of."""
        return " ".join(filter(None, (*options.answer, super().words(options))))

    def notice(self, subject: Subject, options: LensOptions) -> str:
        """Say how long it takes; raises UsageError above MOST_FLOPS without ``yes``."""
        from actlas.analysis.lens.compute import flops

        runs = 1 + len(subject.variants)
        tokens, depths = self._count(subject, options), subject.dataset.sizes["depth"]
        count = runs * flops(tokens, depths, subject.readout)
        if count > MOST_FLOPS and not options.yes:
            raise UsageError(
                f"lens of {tokens:,} tokens at {depths} depths takes {count:.1e} operations, more "
                f"than {MOST_FLOPS:.0e}: choose with --target or --first, or give --yes"
            )
        seconds = count / FLOPS
        if seconds < SILENT:
            return ""
        time = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
        return f"lens of {tokens:,} tokens at {depths} depths: about {time} on one core"

    def _count(self, subject: Subject, options: LensOptions) -> int:
        groups = self.groups(subject.dataset, options)
        return len(chosen_tokens(subject.dataset, groups, options.first))

    def compute(self, subject: Subject, options: LensOptions) -> xr.Dataset:
        """Return the numbers of every token at every depth, and their means by group."""
        from actlas.analysis.groups.means import means_by_group
        from actlas.analysis.lens.compute import lens
        from actlas.analysis.lens.groups import with_group_means
        from actlas.analysis.lens.words import with_words
        from actlas.store.readouts.readout import single_answer

        dataset, readout = subject.dataset, subject.readout
        answers = {word: single_answer(readout, word) for word in options.answer}
        groups = self.groups(dataset, options)
        chosen = chosen_tokens(dataset, groups, options.first)
        try:
            result = lens(dataset, readout, chosen, answers)
        except UsageError as error:
            raise UsageError(f"run {subject.name}: {error}") from error
        read = groups.among(result["index"].values)
        result = with_group_means(result, read, options.resampling(read))
        for baseline in subject.variants:
            before = lens(baseline.dataset, readout, chosen, answers)
            if "nll" in before:
                found = means_by_group(before["nll"], read, before["index"].values)
                result["baseline_nll"] = found
            if answers:
                result["answer_change"] = result["answer_logit"] - before["answer_logit"]
        top = result["top_id"].isel(choice=0)
        result["agreement"] = (top == top.isel(depth=-1)).mean("token")
        result["agreement"].attrs["long_name"] = "tokens whose first choice is the final one"
        if "nll" in dataset and "nll" in result:
            # without labels: the stored loss has those of the run
            stored = dataset["nll"].data[result["index"].values]
            result["stored_nll"] = ("token", stored)
        result = with_words(result, readout, options.sentence)
        answered = {word: [number, readout.words[number]] for word, number in answers.items()}
        edited = any(edit.site == "final_norm" for edit in subject.edits)
        facts = {"answers": answered, "readout": readout.digest, "final_norm_edited": edited}
        facts["dtypes"] = sorted(set(_dtypes(subject)))
        return with_groups(result.assign_attrs(facts), groups)

    def tables(self, result: xr.Dataset) -> list[Table]:
        """Return the means by depth and group, a row each."""
        names = [name for name in HEADERS if name in result]
        rows = []
        for depth in result["depth"].values:
            for group in result["group"].values:
                here = result.sel(depth=depth, group=group)
                numbers = [cell(here[name]) for name in names]
                rows.append((cell(depth, "d"), cell(str(group)), *numbers))
        header = ("depth", "tokens", *(HEADERS[name] for name in names))
        caption = "What each depth says: mean over tokens, in nats" + control_note(result)
        what = "Difference of the mean loss between groups, in nats"
        return [Table.of(caption, header, rows), *contrast_table(result, "mean_nll", what)]

    def overview(self, result: xr.Dataset, subject: Subject) -> list[Table]:
        """Return some of the depths, and the words of the sentence that is drawn."""
        from actlas.analysis.lens.words import sentence_table

        some = result.isel(depth=spread_out(result.sizes["depth"], SHOWN))
        drawn = sentence_table(some, subject.readout.words, _drawn(result))
        return [*self.tables(some), *([drawn] if drawn else [])]

    def figures(self, result: xr.Dataset, subject: Subject, options: LensOptions) -> Figures:
        """Return the words of a sentence at every depth, and the profile by group."""
        from actlas.analysis.lens.figures import lens_grid, lens_profile, sentence_loss
        from actlas.analysis.lens.findings import captions

        noted, sentence = captions(result), _drawn(result)
        drawn = {"": (lens_profile(result), noted[""])}
        if sentence is not None:
            words = subject.readout.words
            drawn["words"] = (lens_grid(result, words, sentence), noted["words"])
            if "nll" in result:
                drawn["loss"] = (sentence_loss(result, words, sentence), noted["loss"])
        return drawn

    def charts(self, result: xr.Dataset) -> Charts:
        """Return the profile by group, the words of sentences at every depth, and their losses."""
        from actlas.analysis.lens.charts import loss_chart, profile_chart, words_chart

        made = {"": profile_chart(result), "words": words_chart(result), "loss": loss_chart(result)}
        return {kind: chart for kind, chart in made.items() if chart}

    def panel(self, axes: Axes, result: xr.Dataset, subject: Subject, options: LensOptions) -> None:
        """Draw the loss by depth, or where there is none the divergence from the last depth."""
        from actlas.analysis.lens.figures import lens_panel

        lens_panel(axes, result)

    def findings(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Say when the first choice is settled, how the loss falls, and whether the law holds."""
        from actlas.analysis.lens.findings import headline, others

        compared = self.compared(result, subject) if "contrast" in result.dims else []
        found = [headline(result), *others(result), *apart(result, "mean_nll", "the mean loss")]
        return bracket_note(result, [*found, *compared])

    def checks(self, result: xr.Dataset) -> list[Check]:
        """Hold the last depth against the stored loss, in float32."""
        from actlas.analysis.lens.findings import loss_error

        error = loss_error(result)
        if error is None or result.attrs.get("final_norm_edited"):
            return []
        if list(result.attrs.get("dtypes", [])) != ["float32"]:
            return []
        why = f"differs by at most {error:.1e} nats, relative above 1"
        return [Check("The last depth gives the stored loss", error <= TOLERANCE, why)]


HEADERS = {
    "mean_nll": "loss",
    "baseline_nll": "without edits",
    "mean_kl": "KL from the last depth",
    "mean_entropy": "entropy",
}


def chosen_tokens(dataset: xr.Dataset, groups: TokenGroups, first: int | None = None) -> Indices:
    """Return the tokens that are read, ascending along ``token``.

    groups: whose tokens they are. first: of that many sentences.
    """
    import numpy as np

    chosen, sentence = groups.tokens, dataset["sentence"].values
    if first is not None:
        chosen = chosen[np.isin(sentence[chosen], np.unique(sentence)[:first])]
        if not len(chosen):
            raise UsageError(f"no token of the groups is in the first {first} sentences")
    return chosen


def _dtypes(subject: Subject) -> Sequence[str]:
    return [str(subject.numerics.get(name, "")) for name in ("dtype", "stored_dtype")]


def _drawn(result: xr.Dataset) -> int | None:
    """Return the sentence that is drawn: the one that was asked for, else the first there is."""
    numbers = result["sentence"].values
    wanted = int(result.attrs.get("sentence", 0))
    if wanted in numbers:
        return wanted
    return int(numbers[0]) if len(numbers) else None

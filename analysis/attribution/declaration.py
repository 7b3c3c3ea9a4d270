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
from actlas.analysis.declaring import Check, PlannedRun, Subject, Table, option
from actlas.analysis.declaring.group_tables import apart, contrast_table, with_groups
from actlas.analysis.declaring.groups import ReadStudy
from actlas.analysis.declaring.layers import spread_out
from actlas.analysis.declaring.phrases import bracket_note
from actlas.analysis.declaring.study import Charts, Figures
from actlas.store.errors import unknown

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.declaring.study import Axes

TOLERANCE = 1e-4  # of sums, relative above 1, in float32
SHOWN = 9  # layers in a terminal
#: numbers of groups that are compared
COMPARED = {
    "mean_difference": "the logit difference",
    "mean_attribution": "what a part adds",
    "mean_head": "what a head adds",
    "mean_neuron": "what a neuron adds",
}


@dataclass(frozen=True)
class AttributeOptions(AnswerOptions):
    """Whose logit, compared with whose, at which tokens; whether by heads and neurons too."""

    heads: bool = option(
        False,
        help="Say what each head adds; takes `actlas readout MODEL --heads`.",
    )
    neurons: int = option(
        0,
        help="Say what each MLP neuron adds, and name the K of each layer that add most; takes "
        "`actlas readout MODEL --neurons`.",
        bounds=(0, 1000),
        metavar="K",
    )


class Attribute(ReadStudy[AttributeOptions]):
    """What attention, MLP, heads and neurons of RUN add to the logit of an answer.

    Direct attribution: with the final norm's divisor frozen, a logit is a sum over what was written
    into the residual stream. What a part adds is not what its removal takes away: later parts read
    it too. Of a run with edits, the change from the run without stands beside it. Needs the model's
    readout, which `actlas extract` stores, and neither the model nor torch.
    """

    name = "attribute"
    help = "What attention, MLP, heads and neurons add to the logit of an answer."
    heading = "Who writes the answer?"
    question = (
        "The logit of an answer is a sum over everything that was written into the residual "
        "stream. Which layers and heads write it?"
    )
    examples = ("actlas attribute her-demo --store actlas-demo/store --answer her --against him",)
    options = AttributeOptions
    needs = ("resid", "attn_out", "mlp_out")
    variants = "baseline"
    numbers = (
        *("mean_attribution", "change_attribution", "change_difference", "mean_head"),
        *("mean_difference", "mean_difference_interval", "mean_difference_contrast", "tokens"),
        *("neuron", "mean_neuron"),
    )

    def check(self, options: AttributeOptions, planned: PlannedRun) -> None:
        """Raise UsageError for a column that the sentences do not have, and without sums."""
        for column in (options.answer_column, options.against_column):
            if column is not None and column not in planned.columns:
                raise unknown("column", column, planned.columns)
        check_law("the model", planned.law)
        super().check(options, planned)

    def sites(self, options: AttributeOptions, stored: Sequence[str], run: str) -> tuple[str, ...]:
        """Return the values of heads and neurons too, where they are asked for."""
        return (
            *self.needs,
            *(("z",) if options.heads else ()),
            *(("mlp_post",) if options.neurons else ()),
        )

    def words(self, options: AttributeOptions) -> str:
        """Return the answers, and names of groups."""
        return " ".join(filter(None, (options.asked, super().words(options))))

    def compute(self, subject: Subject, options: AttributeOptions) -> xr.Dataset:
        """Return what each part adds at each token, and means by group with their intervals."""
        from actlas.analysis.attribution.by_group import with_changes, with_group_means
        from actlas.analysis.attribution.compute import attribution
        from actlas.analysis.attribution.neurons import Neurons, same_neurons, with_neurons
        from actlas.analysis.reconstruction.compute import edited_layers

        check_law(f"run {subject.name}: its model", subject.law)
        check_whole(subject)
        groups = self.groups(subject.dataset, options)
        readout, answers = subject.readout, chosen_answers(subject, options, groups)
        heads = subject.readouts.heads() if options.heads and subject.readouts else None
        matrices = subject.readouts.neurons() if options.neurons and subject.readouts else None
        edited, asked = edited_layers(subject.edits), groups.among(answers.tokens)
        result = attribution(subject.dataset, readout, answers, heads, edited)
        if matrices is not None:
            neurons = Neurons(subject.dataset, readout, matrices, answers)
            result = with_neurons(result, neurons, asked, options.neurons)
        result = with_group_means(result, asked, options.resampling(asked))
        for baseline in subject.variants:
            before = attribution(baseline.dataset, readout, answers, heads)
            if matrices is not None:
                neurons = Neurons(baseline.dataset, readout, matrices, answers)
                before = same_neurons(before, neurons, asked, result["neuron"])
            result = with_changes(result, before, asked)
        found = {
            "asked": pair_text(subject, answers),
            "readout": readout.digest,
            "edited": edited,
            "capped": readout.cap is not None,
            "float32": set(_dtypes(subject)) == {"float32"},
        }
        return with_groups(result.assign_attrs(found), groups)

    def tables(self, result: xr.Dataset) -> list[Table]:
        """Return what attention and MLP add, a row a layer, and heads and neurons that add most."""
        from actlas.analysis.attribution.neuron_tables import neuron_contrasts
        from actlas.analysis.attribution.tables import layer_table

        tables = [layer_table(result), *_foremost(result)]
        for name, what in COMPARED.items():
            if name != "mean_neuron":
                tables += contrast_table(result, name, f"Difference of {what}")
        return [*tables, *neuron_contrasts(result)]

    def overview(self, result: xr.Dataset, subject: Subject) -> list[Table]:
        """Return some of the layers, and the heads and neurons that add most."""
        from actlas.analysis.attribution.tables import layer_table

        some = result.isel(layer=spread_out(result.sizes["layer"], SHOWN))
        name = "mean_difference"
        compared = contrast_table(result, name, f"Difference of {COMPARED[name]}")
        return [layer_table(some), *_foremost(result), *compared]

    def figures(self, result: xr.Dataset, subject: Subject, options: AttributeOptions) -> Figures:
        """Return what parts add by layer, the map of heads, and the neurons that add most."""
        from actlas.analysis.attribution.figures import attribution_profile, head_maps, neuron_dots
        from actlas.analysis.attribution.findings import captions

        title, noted = f"What adds to {result.attrs['asked']}", captions(result)
        drawn = {"": (attribution_profile(result, title), noted[""])}
        if "mean_head" in result:
            drawn["heads"] = (head_maps(result["mean_head"], title), noted["heads"])
        if "mean_neuron" in result:
            drawn["neurons"] = (neuron_dots(result, title), noted["neurons"])
        return drawn

    def charts(self, result: xr.Dataset) -> Charts:
        """Return what layers add, the map of heads, and the neurons that add most."""
        from actlas.analysis.attribution.charts import head_chart, neuron_chart, part_chart

        drawn = {"heads": head_chart(result)} if "mean_head" in result else {}
        if "mean_neuron" in result:
            drawn["neurons"] = neuron_chart(result)
        return {"": part_chart(result), **drawn}

    def panel(
        self, axes: Axes, result: xr.Dataset, subject: Subject, options: AttributeOptions
    ) -> None:
        """Draw what attention and MLP add in each layer, of the first group."""
        from actlas.analysis.attribution.figures import attribution_panel

        attribution_panel(axes, result)

    def findings(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Say who adds most, how large the difference is, and whether the parts add up."""
        from actlas.analysis.attribution.findings import headline
        from actlas.analysis.attribution.neuron_tables import neuron_sentences
        from actlas.analysis.attribution.tables import sentences

        found = [*headline(result), *sentences(result), *neuron_sentences(result)]
        for name, what in COMPARED.items():
            found += apart(result, name, what)
        compared = self.compared(result, subject) if "contrast" in result.dims else []
        return bracket_note(result, [*found, *compared])

    def checks(self, result: xr.Dataset) -> list[Check]:
        """Hold the sum of the parts against the logit difference, in float32."""
        from actlas.analysis.attribution.neuron_tables import neuron_error
        from actlas.analysis.attribution.tables import head_error, sum_error

        if not result.attrs.get("float32"):
            return []
        claims = {"The parts add up to the logit difference": sum_error(result)}
        if "head_attribution" in result:
            claims["Heads add up to what attention adds"] = head_error(result)
        if "neuron_sum" in result:
            claims["Neurons add up to what the MLP adds"] = neuron_error(result)
        checks = []
        for claim, error in claims.items():
            checks.append(Check(claim, error <= TOLERANCE, f"differs by at most {error:.1e}"))
        return checks


def _foremost(result: xr.Dataset) -> list[Table]:
    """Return the tables of the heads and neurons that add most, where they are told apart."""
    from actlas.analysis.attribution.neuron_tables import neuron_table
    from actlas.analysis.attribution.tables import head_table

    tables = [head_table(result)] if "mean_head" in result else []
    return [*tables, *([neuron_table(result)] if "mean_neuron" in result else [])]


def _dtypes(subject: Subject) -> Sequence[str]:
    return [str(subject.numerics.get(name, "")) for name in ("dtype", "stored_dtype")]

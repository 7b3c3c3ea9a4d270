"""Triangulation as users meet it: ``actlas triangulate``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from actlas.analysis.attribution.asking import (
    AnswerOptions,
    check_law,
    check_whole,
    chosen_answers,
    pair_text,
)
from actlas.analysis.declaring import PlannedRun, Subject, Table, cell
from actlas.analysis.declaring.group_tables import apart, contrast_table, with_groups
from actlas.analysis.declaring.groups import ReadStudy
from actlas.analysis.declaring.phrases import bracket_note
from actlas.analysis.declaring.study import Charts, Edits, Figures
from actlas.store.errors import UsageError

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.declaring.study import Axes

MOST_HEADS = 1 << 12  # of a layer, in the key of a variant
SHOWN = 12  # heads in a terminal
#: numbers of groups that are compared
COMPARED = {"attribution": "what a head adds", "ablation": "what the removal of a head costs"}


def zeroed_head(edits: Edits) -> tuple[int, int] | None:
    """Return layer and head that a variant removes, None where it does anything else."""
    if len(edits) != 1:
        return None
    edit = edits[0]
    if (edit.kind, edit.site) != ("zero", "z") or edit.elements is not None:
        return None
    if edit.index is None or edit.head is None:
        return None
    return edit.index, edit.head


class Triangulate(ReadStudy[AnswerOptions]):
    """What each head of RUN adds, what its removal costs, and what it attends to, side by side.

    Removal is taken from the stored variants that zero a single head, as `actlas sweep … --edit
    "zero:site=z,layer=2,head=*"` makes them. A head that adds much and costs little has a backup;
    one that costs more than it adds is read by others.
    """

    name = "triangulate"
    help = "What each head adds, what its removal costs, what it attends to, side by side."
    heading = "Do three looks at a head agree?"
    question = (
        "Attribution says what a head writes, ablation what is lost without it, its attention "
        "where it looks. Do they name the same heads?"
    )
    examples = (
        "actlas extract mine.txt --store atlas",
        "actlas readout demo --store atlas --heads",
        'actlas sweep mine.txt --store atlas --edit "zero:site=z,layer=2,head=*"',
        "actlas triangulate mine-demo --store atlas --answer her --against him",
    )
    options = AnswerOptions
    needs = ("resid", "attn_out", "mlp_out")
    variants = "found"
    numbers = (
        *("attribution", "ablation", "excess", "logit_difference", "tokens"),
        *("attribution_interval", "ablation_interval", "ablation_contrast"),
    )

    def check(self, options: AnswerOptions, planned: PlannedRun) -> None:
        """Raise UsageError where no head is removed, or blocks are no sums."""
        check_law("the model", planned.law)
        super().check(options, planned)
        if all(zeroed_head(edits) is None for edits in planned.edits):
            raise UsageError(
                'no head is removed: give the run edits = ["zero:site=z,layer=2,head=*"]'
            )

    def sites(self, options: AnswerOptions, stored: Sequence[str], run: str) -> tuple[str, ...]:
        """Return what attribution and attention take."""
        return (*self.needs, "z", "pattern")

    def variant_sites(self, sites: tuple[str, ...]) -> tuple[str, ...]:
        """Return the residual stream: of a variant only its logits count."""
        return ("resid",)

    def variant_key(self, edits: Edits) -> int | None:
        """Return the number of the head that is removed."""
        place = zeroed_head(edits)
        return None if place is None else place[0] * MOST_HEADS + place[1]

    def words(self, options: AnswerOptions) -> str:
        """Return the answers, and names of groups."""
        return " ".join(filter(None, (options.asked, super().words(options))))

    def compute(self, subject: Subject, options: AnswerOptions) -> xr.Dataset:
        """Return the three by layer and head."""
        from actlas.analysis.triangulation.compute import triangulation

        check_law(f"run {subject.name}: its model", subject.law)
        check_whole(subject)
        if not subject.variants or subject.readouts is None:
            raise UsageError(
                f"no variant of run {subject.name} removes a head: the sentences and options it "
                'was made with, in `actlas sweep SENTENCES … --edit "zero:site=z,layer=2,head=*"`, '
                "make them"
            )
        variants = {}
        for variant in subject.variants:
            place = zeroed_head(variant.edits)
            if place is not None:
                variants[place] = variant.dataset
        groups = self.groups(subject.dataset, options)
        readout, answers = subject.readout, chosen_answers(subject, options, groups)
        readouts, asked = (readout, subject.readouts.heads()), groups.among(answers.tokens)
        drawn = options.resampling(asked)
        result = triangulation(subject.dataset, variants, readouts, answers, asked, drawn)
        found = {"asked": pair_text(subject, answers), "removed": len(variants)}
        return with_groups(result.assign_attrs(found, readout=readout.digest), groups)

    def tables(self, result: xr.Dataset) -> list[Table]:
        """Return a row a head, those that matter most first."""
        tables = [_table(result, _ranked(result))]
        for name, what in COMPARED.items():
            tables += contrast_table(result, name, f"Difference of {what}")
        return tables

    def overview(self, result: xr.Dataset, subject: Subject) -> list[Table]:
        """Return the heads that matter most."""
        return [_table(result, _ranked(result)[:SHOWN])]

    def figures(self, result: xr.Dataset, subject: Subject, options: AnswerOptions) -> Figures:
        """Return attribution against ablation."""
        from actlas.analysis.triangulation.figures import attribution_against_ablation
        from actlas.analysis.triangulation.findings import caption

        return {"": (attribution_against_ablation(result), caption(result))}

    def charts(self, result: xr.Dataset) -> Charts:
        """Return attribution against ablation."""
        from actlas.analysis.triangulation.charts import heads_chart

        return {"": heads_chart(result)}

    def panel(
        self, axes: Axes, result: xr.Dataset, subject: Subject, options: AnswerOptions
    ) -> None:
        """Draw attribution against ablation, a point a head."""
        from actlas.analysis.triangulation.figures import triangulation_panel

        triangulation_panel(axes, result)

    def findings(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Name the heads that each look puts first, and whether they agree, group by group."""
        from actlas.analysis.triangulation.findings import headline, looks

        found, several = headline(result), result.sizes["group"] > 1
        found.append(f"{result.attrs['removed']} heads are removed in stored variants")
        for group in map(str, result["group"].values):
            lines = looks(result.sel(group=group))
            found += [f"{group}: {line}" for line in lines] if several else lines
        for name, what in COMPARED.items():
            found += apart(result, name, what)
        compared = self.compared(result, subject) if "contrast" in result.dims else []
        return bracket_note(result, [*found, *compared])


def _ranked(result: xr.Dataset) -> list[tuple[int, int]]:
    """Return layer and head, by the larger of what it adds and what it costs in any group."""
    adds, costs = (abs(result[name]).fillna(0).max("group") for name in COMPARED)
    most = adds.where(adds > costs, costs).transpose("layer", "head").values
    places = [(layer, head) for layer in range(len(most)) for head in range(most.shape[1])]
    return sorted(places, key=lambda place: -most[place])


def _table(result: xr.Dataset, heads: Sequence[tuple[int, int]]) -> Table:
    kinds, several = [str(kind) for kind in result["kind"].values], result.sizes["group"] > 1
    bounded, rows = "ablation_interval" in result, []
    for layer, head in heads:
        name = cell(f"L{int(result['layer'][layer])}H{head}")
        for group in result["group"].values:
            here = result.isel(layer=layer, head=head).sel(group=group)
            numbers = [here["attribution"], here["ablation"]]
            if bounded:
                numbers += [here["ablation_interval"].sel(bound=end) for end in ("lower", "upper")]
            names = (cell(str(group)),) if several else ()
            excess = (cell(value, "+.3f") for value in here["excess"].values)
            rows.append((name, *names, *(cell(n, "+.3f") for n in numbers), *excess))
    groups, ends = ("tokens",) if several else (), ("from", "to") if bounded else ()
    header = ("head", *groups, "adds", "costs", *ends, *kinds)
    caption = "Attribution; what its removal costs; attention beyond uniform"
    return Table.of(caption, header, rows)

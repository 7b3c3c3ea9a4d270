"""Attention heads as users meet them: ``actlas heads``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actlas.analysis.data.group_names import FIRST, SPECIAL
from actlas.analysis.declaring import Subject, Table, cell, option
from actlas.analysis.declaring.group_tables import (
    apart,
    control_note,
    with_groups,
)
from actlas.analysis.declaring.groups import GroupStudy, ReadOptions, first_token_option
from actlas.analysis.declaring.options import WRITTEN
from actlas.analysis.declaring.phrases import bracket_note
from actlas.analysis.declaring.study import Charts, Figures
from actlas.analysis.heads.findings import NAMED, of_heads

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.declaring.study import Axes

SHOWN = 10  # heads in a terminal


@dataclass(frozen=True)
class HeadOptions(ReadOptions):
    """Which groups of tokens attend to which; first tokens are a group of their own."""

    first_token: str = first_token_option("group")
    sentence: int | None = option(
        None,
        help="Write a page of the attention in this sentence, counted from 0.",
        bounds=(0, 1 << 31),
        metavar="N",
        heading=WRITTEN,
    )


class Heads(GroupStudy[HeadOptions]):
    """What each attention head of RUN attends to: the token before, the first, itself, repeats.

    Scores are means over queries, each beside what uniform attention over what a query sees would
    score. Weights follow from stored `q` and `k` (of models with rotary positions `q_rot` and
    `k_rot`), or are `pattern`; neither the model nor torch is needed. Natural sentences hardly
    repeat: induction is best measured on repeated random tokens.
    """

    name = "heads"
    help = "What each attention head attends to: the token before, the first, repeats."
    heading = "What do heads attend to?"
    question = (
        "Some heads have a simple habit: the token before, the first one, what followed an earlier "
        "occurrence. Which, and how far beyond chance?"
    )
    examples = ("actlas heads her-demo --store actlas-demo/store",)
    options = HeadOptions
    needs = ("q", "k")  # of a run; the weights are read, or follow from them
    numbers = (
        *("score", "excess", "queries", "attention", "attention_excess"),
        *("group_excess", "group_excess_interval", "group_excess_contrast"),
    )

    def sites(self, options: HeadOptions, stored: Sequence[str], run: str) -> tuple[str, ...]:
        """Return the weights of attention, stored or not."""
        return ("pattern",)

    def compute(self, subject: Subject, options: HeadOptions) -> xr.Dataset:
        """Return the scores of every head, those of named groups, and weights between groups."""
        import numpy as np

        from actlas.analysis.groups.means import with_means
        from actlas.analysis.heads.compute import head_scores
        from actlas.analysis.heads.queries import query_excess

        dataset = subject.dataset
        groups = self.groups(dataset, options)
        derived = dataset["pattern"].attrs.get("derived", "as it is stored")
        result = head_scores(dataset, groups.groups).assign_attrs(pattern=derived)
        if options.named:
            tokens, drawn = np.arange(dataset.sizes["token"]), options.resampling(groups)
            excess = query_excess(dataset)
            result = with_means(result, "group_excess", excess, groups, tokens, drawn)
        return with_groups(result, groups)

    def tables(self, result: xr.Dataset) -> list[Table]:
        """Return the scores of every head, a row each, and those of queries of each group."""
        return [_table(result, _heads(result)), *_group_table(result, _heads(result))]

    def overview(self, result: xr.Dataset, subject: Subject) -> list[Table]:
        """Return the heads that leave uniform attention most."""
        heads = _heads(result)
        beyond = abs(result["excess"].sel(kind=list(NAMED))).max("kind")
        ranked = sorted(heads, key=lambda place: -float(beyond[place].fillna(0)))
        return [_table(result, ranked[:SHOWN]), *_group_table(result, ranked[:SHOWN])]

    def figures(self, result: xr.Dataset, subject: Subject, options: HeadOptions) -> Figures:
        """Return a map of heads for each score, and the weights between groups."""
        from actlas.analysis.heads.figures import group_maps, score_maps
        from actlas.analysis.heads.findings import captions

        drawn, noted = {"": score_maps(result), "groups": group_maps(result)}, captions(result)
        return {kind: (figure, noted[kind]) for kind, figure in drawn.items()}

    def charts(self, result: xr.Dataset) -> Charts:
        """Return a map of heads for each score, and for weights between groups."""
        from actlas.analysis.heads.charts import between_chart, score_chart

        return {"": score_chart(result), "groups": between_chart(result)}

    def panel(self, axes: Axes, result: xr.Dataset, subject: Subject, options: HeadOptions) -> None:
        """Draw the map of the score by which some head leaves uniform attention most."""
        from actlas.analysis.heads.figures import head_panel

        most = abs(result["excess"].sel(kind=list(NAMED))).max(("layer", "head")).fillna(0)
        head_panel(axes, result, NAMED[int(most.values.argmax())])

    def pages(self, subject: Subject, options: HeadOptions) -> dict[str, bytes]:
        """Return the attention of the sentence that was asked for."""
        from actlas.analysis.heads.page import attention_page

        if options.sentence is None:
            return {}
        return {"attention": attention_page(subject, options.sentence)}

    def findings(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Name the head with the largest excess of each score, the largest first."""
        found = [*of_heads(result), f"weights of attention {result.attrs['pattern']}"]
        compared = self.compared(result, subject) if "contrast" in result.dims else []
        apart_ = apart(result, "group_excess", "weight beyond uniform attention")
        return bracket_note(result, [*found, *apart_, *compared])


def _heads(result: xr.Dataset) -> list[tuple[int, int]]:
    return [
        (at, head) for at in range(result.sizes["layer"]) for head in range(result.sizes["head"])
    ]


def _table(result: xr.Dataset, heads: Sequence[tuple[int, int]]) -> Table:
    layers = result["layer"].values
    rows = []
    for layer, head in heads:
        scores = result["score"].isel(layer=layer, head=head).values
        rows.append((cell(f"L{layers[layer]}H{head}"), *(cell(score, ".3f") for score in scores)))
    uniform = result["uniform"].isel(head=0).mean("layer").values
    rows.append((cell("uniform"), *(cell(value, ".3f") for value in uniform)))
    header = ("head", *map(str, result["kind"].values))
    caption = (
        "Mean over queries of the attention weight on each kind of key, of the entropy (1: "
        "uniform) and of the distance in tokens; last row: uniform attention"
    )
    return Table.of(caption, header, rows)


def _group_table(result: xr.Dataset, heads: Sequence[tuple[int, int]]) -> list[Table]:
    """Return the excess of each group of queries but first and special ones, where any is named."""
    if "group_excess" not in result:
        return []
    kinds, rows = [str(kind) for kind in result["key_kind"].values], []
    groups = [each for each in result["group"].values if each not in (FIRST, SPECIAL)]
    for layer, head in heads:
        for group in groups:
            here = result["group_excess"].isel(layer=layer, head=head).sel(group=group)
            name = f"L{result['layer'].values[layer]}H{head}"
            numbers = (cell(value, "+.3f") for value in here.values)
            rows.append((cell(name), cell(str(group)), *numbers))
    caption = "Weight beyond uniform attention, by group of queries" + control_note(result)
    return [Table.of(caption, ("head", "queries", *kinds), rows)]

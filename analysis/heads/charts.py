"""Charts of heads: maps of layer and head, a score or a pair of groups at a time."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis import charts
from actlas.analysis.heads.compute import SCORES


def score_chart(result: xr.Dataset) -> charts.Chart:
    """Excess of one score over uniform attention by layer and head; the reader chooses which."""
    names = ("excess", "score", "uniform", "queries")
    hover = charts.tips(
        *(("#layer", "layer"), ("#head", "head"), ("kind", "score of")),
        *(("#excess", "beyond uniform"), ("#score", "score"), ("#uniform", "uniform attention")),
        ("#queries", "queries"),
    )
    meanings = {name: f"{name}: {meaning}" for name, meaning in SCORES.items()}
    most = {}
    for kind in map(str, result["kind"].values):
        numbers = np.abs(result["excess"].sel(kind=kind).values)
        most[meanings.get(kind, kind)] = charts.number(np.nanmax(numbers, initial=0.0)) or 1
    return charts.chart(
        "Score of each head beyond uniform attention, by layer and head",
        charts.Records({name: result[name] for name in names}, labels={"kind": meanings}),
        _map(result, "excess", hover, "datum.kind == score", "most[score]"),
        params=[charts.choice("score", list(most), "score"), {"name": "most", "value": most}],
    )


def between_chart(result: xr.Dataset) -> charts.Chart:
    """Weight of attention between two groups beyond uniform, which the reader chooses."""
    names = [charts.plain(name) for name in result["from"].values]
    hover = charts.tips(
        *(("#layer", "layer"), ("#head", "head"), ("from", "from"), ("to", "to")),
        *(("#attention_excess", "beyond uniform"), ("#attention", "weight")),
    )
    numbers = np.abs(np.asarray(result["attention_excess"].values))
    sizes = [float(np.nanmax(numbers[at], initial=0.0)) for at in range(len(names))]
    where = "datum.from == queries && datum.to == keys"
    most = {"name": "most", "value": max(sizes, default=0.0) or 1.0}
    # a first token sees itself alone: nothing is beyond uniform attention there
    first = names[int(np.argmax(sizes))]
    return charts.chart(
        "Weight between groups of tokens beyond uniform attention, by layer and head",
        charts.Records({name: result[name] for name in ("attention_excess", "attention")}),
        _map(result, "attention_excess", hover, where, "most"),
        params=[
            charts.choice("queries", names, "from", first),
            charts.choice("keys", names, "to", names[0]),
            most,
        ],
    )


def _map(
    result: xr.Dataset, value: str, hover: list[charts.Chart], where: str, most: str
) -> charts.Chart:
    view = charts.heat_map(
        charts.Map(
            *("head", "layer", value, "head", "layer", "beyond uniform attention"),
            *(result.sizes["layer"], hover, 1.0),
            where=where,
        )
    )
    ends = {"domainMin": {"expr": f"-{most}"}, "domainMax": {"expr": most}, "domainMid": 0}
    view["encoding"]["color"]["scale"] = {"scheme": "redblue", **ends}
    return view

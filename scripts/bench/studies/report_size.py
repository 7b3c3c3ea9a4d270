"""Bytes of a report with charts: of random results of any size, and the limits it must hold.

``python scripts/bench/studies/report_size.py`` prints the shapes of the demo and of GPT-2 XL (48
layers, 25 heads), each with five studies and figures as they are drawn; it needs no run, no model.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from actlas.analysis import registry
from actlas.analysis.cosine.declaration import Cosine
from actlas.analysis.data.group_names import FIRST, LATER
from actlas.analysis.declaring import Study, Subject
from actlas.analysis.plots import figure_files
from actlas.analysis.results.files import add_result, with_provenance
from actlas.scripts.bench.common.results import Sizes, synthetic_result
from actlas.scripts.reporting.page import write_report
from actlas.store.io.replacing import replacing

STAGES = ("variance", "cosine", "norms", "reconstruct", "downstream")
SHAPES = {
    "demo": (Sizes(), 2_000_000),
    "GPT-2 XL": (Sizes(layers=48, heads=25, variants=48), 8_000_000),
}
HEAD = 64  # features of a head
FINDINGS = ("random numbers: nothing is found", "each takes the room that a real one does")


class RandomCosine(Cosine):
    """Cosines whose matrix is made of random numbers too."""

    def __init__(self, sizes: Sizes) -> None:
        features = 3 * sizes.heads * HEAD
        generator, count = np.random.default_rng(0), len(sizes.groups)
        values = generator.uniform(-1, 1, (count, 1, features, features)).astype(np.float32)
        matrix = xr.DataArray(values, dims=("group", "layer", "feature", "other"))
        head = np.tile(np.repeat(np.arange(sizes.heads), HEAD), 3)
        projection = np.repeat(list("qkv"), sizes.heads * HEAD)
        labels: dict[str, Any] = {"head": ("feature", head), "projection": ("feature", projection)}
        self.matrix = matrix.assign_coords(group=list(sizes.groups), layer=[0], **labels)

    def _matrix(self, *_: object) -> xr.DataArray:
        return self.matrix


def main() -> None:
    """Print the bytes of each shape beside its limit; exit with 1 where one is exceeded."""
    parser = argparse.ArgumentParser(description="Bytes of a report with charts.")
    parser.add_argument("--shape", choices=SHAPES, action="append")
    wrong = False
    print("| results | report | limit |\n| --- | --- | --- |")
    for name in parser.parse_args().shape or SHAPES:
        sizes, limit = SHAPES[name]
        with tempfile.TemporaryDirectory() as folder:
            count = report_bytes(Path(folder), sizes)
        print(f"| {name}: {', '.join(STAGES)} | {count:,} bytes | {limit:,} |")
        wrong = wrong or count >= limit
    raise SystemExit(wrong)


def report_bytes(folder: Path, sizes: Sizes) -> int:
    """Write results of ``sizes`` with their figures, and a report; return its bytes."""
    for stage in STAGES:
        study = RandomCosine(sizes) if stage == "cosine" else registry.find(stage)
        assert study is not None
        _write(folder, study, sizes)
    return write_report(folder).stat().st_size


def _write(folder: Path, study: Study[Any], sizes: Sizes) -> None:
    stage = study.name
    if stage == "norms":
        sizes = replace(sizes, groups=(FIRST, LATER, *sizes.groups))
    result = synthetic_result(stage, sizes)
    options = study.options(target="her") if stage in ("variance", "cosine") else study.options()
    deep = xr.DataArray(np.zeros((1, 1)), dims=("depth", "token"))
    subject = Subject("random", xr.Dataset({"resid": deep}), law="add")
    figures = study.figures(result, subject, options)
    noted = {kind: (caption.title, caption.note) for kind, (_, caption) in figures.items()}
    known = with_provenance(result, stage=stage, runs=("0" * 16,), options=result.attrs)
    known = known.assign_attrs(
        labels="1:0", findings=json.dumps(FINDINGS), captions=json.dumps(noted)
    )
    with replacing(folder) as files:
        beside = {}
        for kind, (figure, _) in figures.items():
            for form, content in figure_files(figure).items():
                name = f"{stage}{f'_{kind}' if kind else ''}.{form}"
                beside[name] = files.add(name, [content])
        add_result(files, f"{stage}.nc", known, "0" * 32, beside)


if __name__ == "__main__":
    main()

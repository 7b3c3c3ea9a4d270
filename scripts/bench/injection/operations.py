"""Everything actlas does that writes.

The commands that are hurt, each with what lies there before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actlas.scripts.cli import COMMANDS

Words = tuple[str, ...]

SENTENCES, UNIT_TOKENS = 4, 48  # units of two sentences
SENTENCE = "On day {} of the rain Tom gave her the coat and walked home."
STORE = ("--store", "{root}/store")
MODEL = ("--model", "demo", "--device", "cpu", "--unit-tokens", str(UNIT_TOKENS), "--quiet")
# a readout is made by an operation of its own, and is there before all others
ALONE = ("--no-readout",)
SITES = ("q", "k", "v", "resid", "nll")
# the last layers of the demo model: little is computed behind them
SKIPPED = "skip:layer=6|7"
OUT = ("--out", "{root}/results")
LABELS = ("--labels", "{root}/spans.csv")
STUDY = """\
title = "hurt"
store = "store"

[model]
name = "demo"
device = "cpu"
unit_tokens = 48

[runs.it]
sentences = "study.csv"
sites = ["q", "k", "v", "resid", "nll"]

[analyses.{first}]
run = "it"
{options}
"""
LABELLED = "".join(f'"{SENTENCE.format(number)}",{{}}\n' for number in range(SENTENCES))


def extraction(sentences: str, name: str, *sites: str) -> Words:
    """Return the words that extract ``sites`` of a file of sentences as run ``name``."""
    wanted = [word for site in sites for word in ("--site", site)]
    given = (*STORE, *MODEL, *ALONE, "--name", name)
    return ("extract", f"{{root}}/{sentences}", *given, *wanted)


def inputs(root: Path) -> None:
    """Write the files that the commands read."""
    lines = [SENTENCE.format(number) for number in range(2 * SENTENCES)]
    (root / "it.txt").write_text("\n".join(lines[:SENTENCES]) + "\n")
    (root / "new.txt").write_text("\n".join(lines[SENTENCES:]) + "\n")
    (root / "study.csv").write_text("text,kind\n" + LABELLED.format("one", "one", "two", "two"))
    her = SENTENCE.format(0).index("her")
    spans = [f"{number},{her},{her + 3},pronoun" for number in range(SENTENCES)]
    (root / "spans.csv").write_text("\n".join(["sentence,char_start,char_end,pos", *spans, ""]))
    (root / "study.toml").write_text(STUDY.format(first="norms", options="outliers = 1"))


#: what every operation finds: a run, a variant of it, results and a study of an earlier time
BASE: tuple[Words, ...] = (
    (*extraction("it.txt", "it", *SITES), *LABELS),
    ("readout", "demo", *STORE),
    ("sweep", "{root}/it.txt", *STORE, *MODEL, *ALONE, "--edit", "skip:layer=7"),
    ("variance", "it", *STORE, *OUT, "--target", "her", "--case"),
)
STUDIED: Words = ("study", "run", "{root}/study.toml", "--out", "{root}/study", "--quiet")


@dataclass(frozen=True)
class Operation:
    """A command that writes, and the fixture it is hurt on."""

    words: Words
    before: tuple[Words, ...] = ()  # commands that come after those of BASE
    spoil: Callable[[Path], None] | None = None  # what else happens before, to the folder
    killed_before: tuple[Words, int] | None = (
        None  # a command, and the step before which it is killed
    )
    # exit statuses of the same command given again, whatever of it was done
    again: tuple[int, ...] = (0,)
    many_lines: bool = False  # it reports each problem in a line
    # of modules, set in the hurt process
    constants: Mapping[str, Any] = field(default_factory=dict)


def another_target(root: Path) -> None:
    """Ask for more in the study file than was done."""
    text = STUDY.format(
        first="norms", options='outliers = 2\n\n[analyses.variance]\nrun = "it"\ntarget = "her"'
    )
    (root / "study.toml").write_text(text)


def alter_a_shard(root: Path) -> None:
    """Flip a byte in the middle of the largest shard of the store."""
    shard = max(
        root.glob("store/runs/*/shards/*.h5"), key=lambda path: (path.stat().st_size, path.name)
    )
    shard.chmod(0o644)
    descriptor = os.open(shard, os.O_RDWR)
    middle = os.fstat(descriptor).st_size // 2
    os.pwrite(descriptor, bytes([os.pread(descriptor, 1, middle)[0] ^ 1]), middle)
    os.close(descriptor)


def correct_a_label(root: Path) -> None:
    """Write another label beside a sentence."""
    (root / "study.csv").write_text("text,kind\n" + LABELLED.format("one", "two", "two", "two"))


OPERATIONS: dict[str, Operation] = {
    "extract": Operation((*extraction("new.txt", "new", *SITES), *LABELS)),
    "extract another site": Operation(extraction("it.txt", "it", *SITES, "mlp_out")),
    "extract, many flushes": Operation(
        extraction("new.txt", "new", *SITES),
        constants={"actlas.pipeline.extraction.writes.FLUSH_BYTES": 4096},
    ),
    "sweep": Operation(("sweep", "{root}/it.txt", *STORE, *MODEL, *ALONE, "--edit", SKIPPED)),
    "readout": Operation(("readout", "demo", *STORE, "--heads")),
    "pack": Operation(("pack", "it", *STORE)),
    "export": Operation(
        ("export", "it", "{root}/it.h5", *STORE, "--target", "her", "--context", "2")
    ),
    "export, safetensors": Operation(
        ("export", "it", "{root}/rows", *STORE, "--format", "safetensors", "--site", "q"),
        again=(0, 1),
    ),
    "table": Operation(("table", "it", *STORE, "--out", "{root}/it.csv"), again=(0, 1)),
    "index": Operation(("index", *STORE)),
    "verify --repair": Operation(
        ("verify", "--repair", *STORE), spoil=alter_a_shard, again=(0, 1), many_lines=True
    ),
    "gc": Operation(("gc", *STORE), killed_before=(extraction("new.txt", "new", *SITES), 40)),
    "rename": Operation(("rename", "it", "other", *STORE), again=(0, 2)),
    "rm": Operation(("rm", "it.skip-layer-7", *STORE, "--yes"), again=(0, 2)),
    "variance": Operation(("variance", "it", *STORE, *OUT, "--target", "her", "--bootstrap", "9")),
    "report": Operation(("report", "{root}/results", *STORE)),
    "study run": Operation(STUDIED, before=(STUDIED,), spoil=another_target),
    "study new": Operation(("study", "new", "{root}/fresh.toml"), again=(0, 2)),
}
if "relabel" in COMMANDS:
    OPERATIONS["relabel"] = Operation(
        ("relabel", "labelled", "{root}/study.csv", *STORE, *LABELS),
        before=(extraction("study.csv", "labelled", "resid"),),
        spoil=correct_a_label,
    )

"""Everybody who reads.

Commands and the Python interface at a damaged folder, held against the same at an undamaged one.
"""

from __future__ import annotations

import html
import json
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from actlas.scripts.bench.injection.state import (
    coords_digest,
    dataset_digest,
    digest_of,
    result_digest,
    run_here,
)
from actlas.store.errors import ActlasError

RUNS = ("it", "it.skip-layer-7", "packed")
TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL)
STUDY = ("{root}/study.toml", "--out", "{root}/study")
VARIED = re.compile(r"\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d(\+\d\d:\d\d)?|in \d+\.\d+ s")  # times
NUMBER = re.compile(r"\d")
# of a run, whatever of it is stored
SAYING = ("id", "specification", "description", "model", "sentences", "tokens")


@dataclass(frozen=True)
class Seen:
    """What a reader got: how it ended, what was said on standard error, and the values, by name."""

    status: int
    errors: str
    values: Mapping[str, str]
    traceback: str = ""


def read_all(root: Path, kind: str, *, computing: bool = True) -> dict[str, Seen]:
    """Return reader → what it saw, of all readers that look at what is damaged.

    computing: let a study's command read too.
    """
    return {
        name: _seen(read, root)
        for name, read in readers(kind)
        if computing or not name.startswith("variance")
    }


def _seen(read: Callable[[Path], Seen], root: Path) -> Seen:
    try:
        seen = read(root)
    except ActlasError as error:
        seen = Seen(error.exit_code, f"Error: {error}", {})
    except BaseException:
        return Seen(70, "", {}, traceback.format_exc())
    return Seen(seen.status, seen.errors.replace(f"{root}/", ""), seen.values, seen.traceback)


def readers(kind: str) -> Iterator[tuple[str, Callable[[Path], Seen]]]:
    """Yield the readers of what is damaged; those that write come last.

    One command that computes stands for all: they read a run by ``Run.dataset``, which is compared
    whole.
    """
    if kind == "exports":
        for name in ("it.h5", "more.h5"):
            yield f"verify {name}", _command("verify", f"{{root}}/{name}")
            # of the record alone, which says what it is of
            yield (f"show {name}", _command("show", f"{{root}}/{name}", "--json"))
            yield f"dataset {name}", _dataset(f"{{root}}/{name}")
        yield "variance it.h5", _variance("{root}/it.h5")
        return
    if kind == "readouts":
        yield "verify", _command("verify", "--store", "{root}/store")
        yield "lens", _result("lens", "it", "--answer", "her")
        return
    if kind in ("store", "names"):
        yield "verify", _command("verify", "--store", "{root}/store")
        yield "ls", _listed
        for name in RUNS:
            yield f"show {name}", _shown(name)
            yield f"dataset {name}", _dataset(name)
        yield "variance", _variance("it")
    else:
        yield "verify study", _command("verify", "{root}/study", "--store", "{root}/store")
        yield "report of commands", _report("results")
        yield "report of a study", _report("study")
    yield "study check", _checked
    yield "study run", _studied


def _command(*words: str) -> Callable[[Path], Seen]:
    def read(root: Path) -> Seen:
        status, _, errors = run_here(*(word.format(root=root) for word in words))
        return Seen(status, errors, {})

    return read


def _listed(root: Path) -> Seen:
    status, output, errors = run_here("ls", "--json", "--store", f"{root}/store")
    if status:
        return Seen(status, errors, {})
    record = json.loads(output)
    runs = {each["id"]: str([each.get(name) for name in SAYING]) for each in record["runs"]}
    names = {f"{each['id']} {name}": "named" for each in record["runs"] for name in each["names"]}
    return Seen(status, errors + "".join(map(str, record["damaged"].values())), {**runs, **names})


def _shown(run: str) -> Callable[[Path], Seen]:
    def read(root: Path) -> Seen:
        status, output, errors = run_here(
            "show", run.format(root=root), "--json", "--store", f"{root}/store"
        )
        record = json.loads(output) if not status else {}
        shown = {
            name: json.dumps(record[name], sort_keys=True) for name in SAYING if name in record
        }
        return Seen(
            status, errors, {name: value.replace(f"{root}/", "") for name, value in shown.items()}
        )

    return read


def _dataset(run: str) -> Callable[[Path], Seen]:
    def read(root: Path) -> Seen:
        from actlas.scripts.terminal.options import open_run

        view = open_run(run.format(root=root), root / "store").dataset(check=True)
        values = {str(name): digest_of([view[name].values]) for name in view.data_vars}
        return Seen(
            0, "", {**values, "labels": coords_digest(view), "all": dataset_digest(view.compute())}
        )

    return read


def _variance(run: str) -> Callable[[Path], Seen]:
    return _result("variance", run, "--target", "her")


def _result(stage: str, run: str, *options: str) -> Callable[[Path], Seen]:
    def read(root: Path) -> Seen:
        words = (
            stage,
            run.format(root=root),
            *options,
            "--store",
            f"{root}/store",
            "--out",
            f"{root}/fresh",
        )
        status, _, errors = run_here(*words)
        return Seen(
            status,
            errors,
            {
                path.name: result_digest(path)
                for path in (root / "fresh").glob("*.nc")
                if not status
            },
        )

    return read


def _report(folder: str) -> Callable[[Path], Seen]:
    """Return a reader of the words and numbers in a report.

    What is not in that of the undamaged folder was made up.
    """

    def read(root: Path) -> Seen:
        status, _, errors = run_here("report", f"{root}/{folder}", "--store", f"{root}/store")
        if status:
            return Seen(status, errors, {})
        text = html.unescape(TAGS.sub(" ", (root / folder / "report.html").read_text())).replace(
            str(root), ""
        )
        words = [word for word in VARIED.sub("", text).split() if NUMBER.search(word)]
        return Seen(status, errors, dict.fromkeys(words, "said"))

    return read


def _checked(root: Path) -> Seen:
    """Look at the states of analyses: one whose file has other values is not "up to date"."""
    words = [word.format(root=root) for word in STUDY]
    status, output, errors = run_here(
        "study", "check", *words, "--json", "--store", f"{root}/store"
    )
    values = {}
    if not status:
        for name, what in json.loads(output)["analyses"].items():
            for result in (root / "study" / "results" / name).glob("*.nc"):
                values[name] = result_digest(result) if what == "up to date" else "to do"
    return Seen(status, errors, values)


def _studied(root: Path) -> Seen:
    """Bring the study up to date.

    Then its results are those of the undamaged one, or it said why not.
    """
    words = [word.format(root=root) for word in STUDY]
    status, _, errors = run_here("study", "run", *words, "--quiet", "--store", f"{root}/store")
    results = sorted((root / "study").glob("results/*/*.nc"))
    values = {path.parent.name: result_digest(path) for path in results} if not status else {}
    return Seen(status, errors, values)

"""The gallery of the docs: each study with its question, its figure and what it found.

    python scripts/dev/gallery.py

does the studies on the demo model and writes ``docs/gallery.md`` and the figures of all pages,
``docs/images/demo-*.png``. A test holds the page against what the studies find now.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

import actlas
from actlas.analysis.declaring import Caption
from actlas.scripts.api.result import Result
from actlas.store import Run

ROOT = Path(__file__).resolve().parents[2]
PAGE, IMAGES = ROOT / "docs/gallery.md", ROOT / "docs/images"
ENGLISH = "pipeline/texts/english.txt"
EDITS = (
    "skip:layer=*",
    "scale:layer=2,factor=0.5|0.75|1.25|1.5",
    "zero:site=k|z,layer=4,head=2",
    "noise:site=mlp_post,layer=3,neurons=::2,mean=10,std=1,seed=0",
    "scale:layer=5,factor=0.1|10",
    "zero:site=z,layer=2,head=*",
)
MOST_FINDINGS = 3
COMMANDS = (
    ("extract", "pipeline/texts/her.txt"),
    ("extract", ENGLISH),
    ("sweep", ENGLISH, *(word for edit in EDITS for word in ("--edit", edit))),
    ("readout", "demo", "--heads"),
)
HEAD = """# Gallery

What each study asks, shows and finds on the small model that comes with actlas. Pictures and
sentences are what the commands give; `python scripts/dev/gallery.py` makes this page. What a study
computes, and how to read it, is in [the studies](studies.md).

First the activations, in a clone of the repository:

```
{commands}
```

```python
import actlas

store = actlas.open("atlas")
her, english = store.run("her-demo"), store.run("english-demo")


def variants(*parts):
    return [store.run(name) for name in store.names() if any(part in name for part in parts)]
```
"""


@dataclass(frozen=True)
class Example:
    """A study as the gallery shows it.

    data: a run by the name that it has in Python, or the parts of the names of variants. name: of
    its images, that of the study where empty. also: kinds of figures for other pages.
    """

    study: str
    data: str | tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    kind: str = ""
    also: tuple[str, ...] = ()


ANSWERS = {"answer": "her", "against": "him"}
EXAMPLES = (
    Example("variance", "her", {"target": "her"}),
    Example("cosine", "her", {"target": "her"}, also=("profile",)),
    Example("reconstruct", "her", {"pair": "6,7"}, also=("pair",)),
    Example("norms", "her", {"outliers": 3}),
    Example("histogram", "her", {"target": "her", "site": ("resid",)}),
    Example("scan", "english"),
    Example("downstream", ("skip-layer-3",), name="skip", kind="step"),
    Example("downstream", ("scale-layer-2",), name="scale"),
    Example(
        "downstream",
        ("zero-site-k-layer-4", "zero-site-z-layer-4", "noise", "scale-layer-5"),
        name="replace",
        kind="std",
    ),
    Example("lens", "english", {"answer": ("her",)}, also=("words",)),
    Example("attribute", "english", {**ANSWERS, "heads": True}),
    Example("heads", "english"),
    Example("triangulate", "english", ANSWERS),
)


def made(folder: Path) -> tuple[str, dict[str, bytes]]:
    """Do all studies in a new store in ``folder``; return the page and the images by name."""
    from actlas.analysis.plots import figure_files

    runs = _runs(folder)
    sections, images = [], {}
    for example in EXAMPLES:
        result = _result(example, runs)
        drawn = result.study.figures(result.dataset, result.subject, result.options)
        for kind in (example.kind, *example.also):
            if kind not in drawn:
                raise click.ClickException(f"{example.study} draws {list(drawn)}, not {kind!r}")
            images[_image(example, kind)] = figure_files(drawn[kind][0])["png"]
        sections.append(_section(example, result, drawn[example.kind][1]))
    return "\n".join((HEAD.replace("{commands}", _shown_commands()), *sections)), images


def _shown_commands() -> str:
    lines = (f"actlas {shlex.join((*words, '--store', 'atlas'))}" for words in COMMANDS)
    return "\n".join(line.replace(" --edit", " \\\n    --edit") for line in lines)


def _runs(folder: Path) -> dict[str, Run]:
    """Do the page's first commands in ``folder``; return the runs by name."""
    (folder / "pipeline").symlink_to(ROOT / "pipeline")
    for words in COMMANDS:
        line = [sys.executable, "-m", "actlas.scripts", *words, "--store", "atlas"]
        subprocess.run(line, cwd=folder, check=True, capture_output=True)
    store = actlas.open(folder / "atlas")
    return {name: store.run(name) for name in store.names()}


def _result(example: Example, runs: Mapping[str, Run]) -> Result:
    if isinstance(example.data, str):
        data: Any = runs[f"{example.data}-demo"]
    else:
        data = [run for name, run in runs.items() if any(part in name for part in example.data)]
    found: Result = getattr(actlas, example.study)(data, **example.options)
    return found


def _section(example: Example, result: Result, caption: Caption) -> str:
    study = result.study
    findings = [f"> {_escaped(each)}\n" for each in result.findings[:MOST_FINDINGS]]
    return "\n".join(
        (
            f"## {study.heading}" + (f" ({example.name})" if example.name else ""),
            "",
            study.question,
            "",
            f"![{_escaped(caption.title)}](images/{_image(example, example.kind)})",
            "",
            _escaped(caption.note),
            "",
            ">\n".join(findings),
            "```",
            _command(example),
            "```",
            "",
            "```python",
            _python(example),
            "```",
            "",
        )
    )


def _image(example: Example, kind: str) -> str:
    return f"demo-{'-'.join(filter(None, (example.name or example.study, kind)))}.png"


def _escaped(text: str) -> str:
    return re.sub(r"([*_<\[\]])", r"\\\1", " ".join(text.split()))


def _command(example: Example) -> str:
    words = ["actlas", example.study]
    if isinstance(example.data, str):
        words.append(f"{example.data}-demo")
    else:
        words += [f"'english-demo.{part}*'" for part in example.data]
    words += ["--store", "atlas", *_flags(example.options)]
    return " ".join(words)


def _flags(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        for each in value if isinstance(value, tuple) else (value,):
            yield f"--{name}" if each is True else f"--{name} {shlex.quote(str(each))}"


def _python(example: Example) -> str:
    data = example.data
    if not isinstance(data, str):
        data = f"variants({', '.join(map(_quoted, data))})"
    options = (f", {name}={_quoted(value)}" for name, value in example.options.items())
    return f"actlas.{example.study}({data}{''.join(options)})"


def _quoted(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_quoted, value))}]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


@click.command()
def main() -> None:
    """Write the page and the images."""
    with tempfile.TemporaryDirectory() as folder:
        page, images = made(Path(folder))
    PAGE.write_text(page, encoding="utf-8")
    for name, content in images.items():
        (IMAGES / name).write_bytes(content)
    shutil.rmtree(ROOT / "docs/_build", ignore_errors=True)
    click.echo(f"{PAGE.name}, {len(images)} images, {sum(map(len, images.values())) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

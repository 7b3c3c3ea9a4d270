"""Study files: what is run and what is made of it, in one TOML file.

Checked before anything is computed.

``[model]`` is its name, and how it computes; the demo model where left out. ``[runs.her]`` is an
input: sentences, sites, edits. ``[groups]`` are groups of tokens, for all analyses.
``[analyses.variance]`` is a stage with its options; ``run`` says of which run, where there are
several.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actlas.pipeline.generation.answers import GenerateOptions
from actlas.pipeline.inputs.windows import Windows, chosen_windows
from actlas.pipeline.models.hook_names import site_names
from actlas.scripts.analyses.bounds import check_bounds
from actlas.scripts.extraction.request import generate_options, special_choice
from actlas.scripts.study.analysis_table import group_texts, read_stage
from actlas.scripts.study.record import NAME
from actlas.scripts.study.stage import Stage
from actlas.scripts.study.tables import entries, filled
from actlas.store.errors import UsageError, unknown
from actlas.store.io.safe_open import read_input, user_path

MOST_BYTES, MOST_PARTS = 1 << 20, 100  # of a study file, and of a dotted key
SHIPPED = "demo:"  # before a file that comes with actlas
KEYS = ("title", "store", "model", "runs", "groups", "analyses")


@dataclass(frozen=True)
class ModelChoice:
    """The model and its numerics, as options of ``actlas extract``."""

    name: str = "demo"
    revision: str | None = None
    dtype: str = "float32"
    stored_dtype: str | None = None
    attention: str = "auto"
    device: str = "auto"
    unit_tokens: int = 2048

    def __post_init__(self) -> None:
        """Raise UsageError for batches of no size or of none that there is."""
        check_bounds(unit_tokens=self.unit_tokens)


@dataclass(frozen=True)
class Input:
    """Sentences to run, what to keep of them, and the edits to make variants with."""

    sentences: str  # a path beside the study file, or demo:her.txt, demo:uses.csv
    sites: tuple[
        str, ...
    ] = ()  # those of `actlas extract`, and what the analyses need, where there are none
    layers: str | None = None  # to keep, such as "0,6,11"; all where left out
    depths: str | None = None  # of resid; input and output of each of the layers where left out
    tokens: str | tuple[str, ...] | None = None  # to keep, such as "last"; all where left out
    edits: tuple[
        str | tuple[str, ...], ...
    ] = ()  # each a sweep; a list within the list acts together in one pass
    text_column: str = "text"
    bos: bool = False
    no_special: bool = False
    skip_bad: bool = False
    rename: tuple[str, ...] = ()  # columns, each "OLD=NEW"
    drop: tuple[str, ...] = ()  # columns
    window: int | None = None  # tokens of a window
    stride: int | None = None  # tokens from one window to the next
    labels: str | None = None  # a file of labels of tokens, beside the study file
    generate: int | None = None  # tokens that the model writes behind each sentence, at most
    temperature: float | None = None  # of what is drawn; the likeliest where left out
    seed: int | None = None  # of what is drawn

    def __post_init__(self) -> None:
        """Raise UsageError for what options say that cannot be, such as an empty list of tokens."""
        special_choice(bos=self.bos, no_special=self.no_special)
        given = {"window": self.window, "stride": self.stride}
        check_bounds(**{name: value for name, value in given.items() if value is not None})
        if self.tokens == ():
            raise UsageError("tokens is an empty list: expected such as 'last', or leave it out")
        _ = self.windows, self.how

    @property
    def how(self) -> GenerateOptions | None:
        """How sentences are extended, None where they are not."""
        if self.seed is not None and self.temperature is None:
            raise UsageError("seed is of temperature: give both, or neither")
        return generate_options(self.generate, self.temperature, self.seed)

    @property
    def windows(self) -> Windows | None:
        """The windows that texts are cut into."""
        return chosen_windows(self.window, self.stride)


@dataclass(frozen=True)
class Analysis:
    """A stage that a study asks for: how the study calls it, and the run it is of."""

    name: str
    run: str
    stage: Stage


@dataclass(frozen=True)
class Study:
    """A study file as a whole."""

    path: Path
    text: str
    title: str
    model: ModelChoice
    runs: Mapping[str, Input]
    analyses: tuple[Analysis, ...]
    store: Path | None = None

    def of(self, run: str) -> list[Analysis]:
        """Return the analyses of a run."""
        return [analysis for analysis in self.analyses if analysis.run == run]


@dataclass(frozen=True)
class _Top:
    runs: dict[str, object]
    title: str = ""
    store: str | None = None
    model: dict[str, object] = field(default_factory=dict)
    groups: dict[str, object] = field(default_factory=dict)
    analyses: dict[str, object] = field(default_factory=dict)


def read_study(path: Path) -> Study:
    """Read a study file; raises UsageError, which names the place, for what cannot be meant."""
    try:
        content = read_input(path, MOST_BYTES)
    except FileNotFoundError as error:
        raise UsageError(
            f"study file {path} does not exist: `actlas study new {path}` makes one"
        ) from error
    try:
        text = content.decode()
        _check_keys(path, text)
        table = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8"
        ) from error
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, and numbers of too many digits
        raise UsageError(f"{path} is not TOML: {str(error)[:100]}") from error
    return _study(path, text, table)


def _check_keys(path: Path, text: str) -> None:
    """Refuse keys of very many parts, on which tomllib would spend hours."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.partition("=")[0].count(".") > MOST_PARTS:
            raise UsageError(
                f"{path}, line {number}: a key has more than {MOST_PARTS} parts: expected a few"
            )


def _study(path: Path, text: str, table: Mapping[str, object]) -> Study:
    for key in table:
        if key not in KEYS:
            raise UsageError(f"{path}: {unknown('table or key', key, KEYS)}")
    if not table.get("runs"):
        raise UsageError(f'{path} has no run: expected [runs.NAME] with sentences = "FILE"')
    top = filled(
        _Top,
        {**table, **{key: entries(table.get(key, {}), f"{path} [{key}]") for key in KEYS[2:]}},
        str(path),
    )
    runs = {
        _name(path, "runs", name): filled(Input, each, f"{path} [runs.{name}]")
        for name, each in top.runs.items()
    }
    for name, each in runs.items():
        if each.sentences == "-":
            raise UsageError(
                f"{path} [runs.{name}] sentences: a study reads files, which can be read again; "
                f"'-' cannot"
            )
    shared = group_texts(top.groups, f"{path} [groups]", path.parent)
    analyses = tuple(
        _analysis(path, name, each, runs, shared) for name, each in top.analyses.items()
    )
    store = None if top.store is None else _beside(path, top.store)
    model = filled(ModelChoice, top.model, f"{path} [model]")
    return Study(path, text, top.title or path.stem, model, runs, analyses, store)


def _analysis(
    path: Path, name: str, table: object, runs: Mapping[str, Input], shared: Sequence[str]
) -> Analysis:
    where = f"{path} [analyses.{_name(path, 'analyses', name)}]"
    given = dict(entries(table, where))
    run = given.pop("run", next(iter(runs)) if len(runs) == 1 else None)
    stage = read_stage(name, given, where, path.parent, shared)
    if run is None:
        raise UsageError(f"{where} lacks the key 'run': expected one of {', '.join(runs)}")
    if not isinstance(run, str) or run not in runs:
        raise UsageError(f"{where}: {unknown('run', str(run), runs)}")
    sites = site_names(runs[run].sites)
    missing = [site for site in stage.needs if sites and site not in sites]
    if missing:
        raise UsageError(
            f"{where} needs {' '.join(missing)}: add to sites of [runs.{run}], or leave sites out"
        )
    if stage.needs_edits and not runs[run].edits:
        raise UsageError(f"{where} compares variants: give [runs.{run}] edits")
    return Analysis(name, run, stage)


def _name(path: Path, table: str, name: str) -> str:
    """Return a name that can be a folder's; raises UsageError for another."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{path} [{table}.{name!r}]: expected a name of letters, digits, - and _, 60 at most"
        )
    return name


def sentence_file(study: Study, given: str) -> str:
    """Return the path of an input's sentences.

    Raises UsageError for one that is said to come with actlas and does not.
    """
    if not given.startswith(SHIPPED):
        return str(_beside(study.path, given))
    texts = Path(sys.modules["actlas.pipeline"].__path__[0]) / "texts"
    shipped = sorted(file.name for file in texts.iterdir() if file.suffix in (".txt", ".csv"))
    if given.removeprefix(SHIPPED) not in shipped:
        raise UsageError(
            f"{study.path}: {unknown('shipped file', given, [SHIPPED + name for name in shipped])}"
        )
    return str(texts / given.removeprefix(SHIPPED))


def _beside(file: Path, given: str) -> Path:
    """Return a path that a study file names: relative ones start where it lies."""
    return file.parent / user_path(given)

"""A study as a function, made from its declaration: ``actlas.variance(run, target="her")``."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, get_origin, get_type_hints

from actlas.analysis import registry
from actlas.analysis.declaring import Study, Subject
from actlas.analysis.declaring.laws import check_sites
from actlas.analysis.declaring.options import specs
from actlas.scripts.analyses.asked import Asked
from actlas.scripts.analyses.variants import beside, comparable, named_baseline
from actlas.scripts.api.result import Result
from actlas.scripts.study.tables import filled
from actlas.store.errors import UsageError
from actlas.store.reading.hook_names import HOOKS
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    import xarray as xr

#: of the model, which ``Run.dataset`` writes into the attributes of its view
SAID = ("law", "dtype", "stored_dtype")
DATA = {
    "none": "data: a Run, or a Dataset that ``Run.dataset`` gave or a part of it.",
    "baseline": "data: a Run; of one with edits, the run without stands beside it.",
    "found": "data: the Run without edits; the variants that its store has are compared with it.",
    "named": "data: variants, a Run or several, of one run without edits.",
}


class StudyFunction(Protocol):
    """A study as a function; ``help`` and completion show its own options."""

    def __call__(self, data: Run | xr.Dataset | Iterable[Run], **options: Any) -> Result:
        """Compute the study of ``data`` now.

        Raises UsageError for options or data that it cannot take, with the message of the command.
        """


@cache
def function_of(name: str) -> StudyFunction | None:
    """Return the study of that name as a function, None where there is none."""
    study = registry.find(name)
    if study is None:
        return None
    found: Study[Any] = study

    def function(data: Any, **options: Any) -> Result:
        return _result(found, data, options)

    function.__name__ = function.__qualname__ = name
    function.__module__ = "actlas"
    function.__doc__ = _documentation(found)
    function.__signature__ = _signature(found)  # type: ignore[attr-defined]
    return function


def _signature(study: Study[Any]) -> inspect.Signature:
    """Return ``data``, then the options by name."""
    hints = get_type_hints(study.options)
    data = inspect.Parameter("data", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    options = []
    for field, _ in specs(study.options):
        missing = field.default is dataclasses.MISSING
        default = inspect.Parameter.empty if missing else field.default
        kind, hint = inspect.Parameter.KEYWORD_ONLY, hints[field.name]
        options.append(inspect.Parameter(field.name, kind, default=default, annotation=hint))
    return inspect.Signature([data, *options], return_annotation=Result)


def _documentation(study: Study[Any]) -> str:
    """Return the help of the command, and a line for each option."""
    lines = [inspect.cleandoc(study.__doc__ or study.help), "", DATA[study.variants]]
    for field, spec in specs(study.options):
        choices = f" One of {', '.join(spec.choices)}." if spec.choices else ""
        lines.append(f"{field.name}: {spec.help}{choices}")
    lines += ["", "Returns a Result: dataset, findings, table(), plot(ax=…), figures()."]
    return "\n".join(lines)


def _result(study: Study[Any], data: Any, given: dict[str, Any]) -> Result:
    options = _options(study, given)
    if hasattr(data, "data_vars"):
        return _of_dataset(study, data, options)
    asked = _asked(study, data, options)
    _, described = asked.answered()
    return Result(study, options, asked.subject, described, tuple(asked.findings(described)))


def _answer(study: Study[Any], options: Any, subject: Subject, described: xr.Dataset) -> Result:
    return Result(study, options, subject, described, tuple(study.findings(described, subject)))


def _asked(study: Study[Any], data: Any, options: Any) -> Asked:
    if study.variants == "named":
        runs = [data] if isinstance(data, Run) else data
        if not isinstance(runs, list | tuple) or not runs:
            raise UsageError(
                f"{study.name}() got {_kind(data)}, expected variants: Runs of a sweep"
            )
        for run in runs:
            _check_run(study, run)
        variants = comparable(list(runs))
        return Asked(study, options, named_baseline(variants[0]), tuple(variants))
    _check_run(study, data)
    return Asked(study, options, data, beside(study, data))


def _check_run(study: Study[Any], run: Any) -> None:
    if not isinstance(run, Run):
        raise UsageError(
            f"{study.name}() got {_kind(run)}, expected a Run, such as actlas.open(STORE).run(NAME)"
        )


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"


def _of_dataset(study: Study[Any], dataset: xr.Dataset, options: Any) -> Result:
    """Ask a view of a run, or a part of it."""
    from threadpoolctl import threadpool_limits

    if study.variants != "none":
        reads = "reads the readout of a stored run" if study.variants == "baseline" else ""
        raise UsageError(
            f"{study.name}() {reads or 'compares stored runs'}: give Runs in place of a Dataset"
        )
    attributes = dataset.attrs
    if missing := [name for name in SAID if name not in attributes]:
        raise UsageError(
            f"{study.name}(): the Dataset does not say {' '.join(missing)} of its model in attrs: "
            "give the Run, or a part of run.dataset() that keeps them"
        )
    name, law = str(attributes.get("name", "data")), str(attributes["law"])
    causal = bool(attributes.get("causal", True))
    stored = [str(each) for each in dataset.data_vars]
    sites = study.sites(options, stored, name)
    absent = [site for site in sites if site not in stored]
    check_sites(name, absent, law, causal)
    if absent:
        raise UsageError(
            f"{study.name}() needs the sites {' '.join(sites)}, the Dataset has {' '.join(stored)}"
        )
    subject = Subject(name, dataset[list(sites)], (), attributes, (), law, causal)
    known = {**attributes, "law": law, "causal": causal, **study.recorded(options, sites)}
    lazy = study.compute(subject, options)
    with threadpool_limits(1, user_api="blas"):  # dask runs a task on each core already
        result = lazy.compute()
    return _answer(study, options, subject, result.assign_attrs({**result.attrs, **known}))


def _options(study: Study[Any], given: Mapping[str, Any]) -> Any:
    """Return the options, checked as those of a study file."""
    hints, table = get_type_hints(study.options), dict(given)
    for field, spec in specs(study.options):
        if field.name not in table:
            continue
        value, several = table[field.name], get_origin(hints[field.name]) is tuple
        if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
            value = value.item()
        if isinstance(value, list | tuple | range) and not several:
            value = ",".join(map(str, value))  # a list of layers, a pair of depths
        if several:
            value = [value] if isinstance(value, str) else list(value)
        if spec.sites and several:
            value = [HOOKS.get(site, site) for site in value]
        table[field.name] = value
    return filled(study.options, table, f"{study.name}()")

"""The command of a study, made from its declaration."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

import click

from actlas.analysis.declaring import Study
from actlas.analysis.declaring.group_tables import group_tables
from actlas.analysis.declaring.options import OptionSpec, specs
from actlas.scripts.analyses.asked import Asked, Finding
from actlas.scripts.analyses.variants import beside, find_variants, named_baseline
from actlas.scripts.extraction.cluster_options import analysis_workers
from actlas.scripts.results.output import Destination
from actlas.scripts.terminal.completion import complete_run, complete_site
from actlas.scripts.terminal.options import (
    json_option,
    named_sites,
    output_options,
    run_argument,
    store_option,
)
from actlas.scripts.terminal.sections import SectionedCommand, SectionedOption
from actlas.scripts.terminal.shown import labelled, paragraphs, text_of
from actlas.scripts.terminal.text import echo_json

if TYPE_CHECKING:
    from actlas.store.runs.run import Run


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def command_of(study: Study[Any]) -> click.Command:
    """Return the command of ``study``: its options, and those that all studies share."""

    def callback(out: Destination, as_json: bool, **given: Any) -> None:
        asked = _asked(study, given)
        finding = asked.carry_out(out)
        if as_json:
            echo_json(_record(asked, finding))
        else:
            click.echo(_text(study, finding))
        sys.exit(0 if finding.holds else 1)

    decorators: list[Decorator] = [
        *_subject_of(study),
        *_field_options(study),
        output_options,
        json_option,
        analysis_workers,
    ]
    function: Callable[..., Any] = callback
    # as if written above the function: the last of the list is applied first
    for decorator in reversed(decorators):
        function = decorator(function)
    made = click.command(
        study.name,
        cls=SectionedCommand,
        help=study.__doc__,
        short_help=study.help,
        examples=study.examples,
    )
    return made(function)


def _subject_of(study: Study[Any]) -> list[Decorator]:
    if study.variants != "named":
        return [run_argument]
    named = click.argument(
        "references", metavar="VARIANT…", nargs=-1, required=True, shell_complete=complete_run
    )
    return [named, store_option]


def _asked(study: Study[Any], given: dict[str, Any]) -> Asked:
    if study.variants == "named":
        from actlas.store.catalog import Store

        references, place = given.pop("references"), given.pop("store_path")
        options = study.options(**given)
        found = find_variants(Store(place), references)
        return Asked(study, options, named_baseline(found[0]), tuple(found))
    run: Run = given.pop("run")
    options = study.options(**given)
    return Asked(study, options, run, beside(study, run))


def _field_options(study: Study[Any]) -> Iterator[Decorator]:
    hints = get_type_hints(study.options)
    for field, spec in specs(study.options):
        hidden = field.name in study.options.refused  # said in words to who uses it
        yield field_option(field, spec, hints[field.name], hidden=hidden)


def field_option(
    field: dataclasses.Field[Any], spec: OptionSpec, hint: Any, *, hidden: bool = False
) -> Decorator:
    """Return the option of the command line for a field of a dataclass of options."""
    flag, required = spec.flag or f"--{field.name.replace('_', '-')}", False
    settings: dict[str, Any] = {"help": spec.help, "hidden": hidden, "heading": spec.heading}
    settings |= {"cls": SectionedOption}
    if hint is bool:
        return click.option(flag, field.name, is_flag=True, default=field.default, **settings)
    settings |= {"metavar": spec.metavar}
    if field.default is dataclasses.MISSING:
        required = True
    elif field.default not in (None, ()):
        settings |= {"default": field.default, "show_default": True}
    if get_origin(hint) is tuple:
        settings["multiple"] = True
    if spec.sites:
        settings |= {"shell_complete": complete_site, "callback": named_sites}
    return click.option(flag, field.name, required=required, type=_type(spec, hint), **settings)


def _type(spec: OptionSpec, hint: Any) -> Any:
    if spec.choices:
        return click.Choice(spec.choices)
    if spec.bounds:
        return click.IntRange(*spec.bounds)
    if get_origin(hint) in (Union, types.UnionType):
        # `float | None`: click knows the default None by itself
        return next(each for each in get_args(hint) if each is not types.NoneType)
    return get_args(hint)[0] if get_origin(hint) is tuple else hint


def _text(study: Study[Any], finding: Finding) -> str:
    """Return what a terminal shows: what was found first, then the numbers, then the files."""
    result = finding.result
    tables = map(text_of, [*group_tables(result), *study.overview(result, finding.subject)])
    return "\n\n".join([paragraphs(finding.findings), *tables, str(finding.output)])


def _record(asked: Asked, finding: Finding) -> dict[str, Any]:
    """Return the same as JSON has it."""
    record: dict[str, Any] = {"run": asked.run.id}
    if asked.variants:
        record["variants"] = [run.name for run in asked.variants]
    record |= {"findings": list(finding.findings), "holds": finding.holds}
    for name in asked.study.numbers:
        if name in finding.result.variables:
            record[name] = labelled(finding.result[name])
    return {**record, "files": [str(path) for path in finding.output.paths]}

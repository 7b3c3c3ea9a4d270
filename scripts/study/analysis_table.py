"""The table of an analysis in a study file: which study, of which run, with which options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actlas.analysis import registry
from actlas.analysis.declaring import Study
from actlas.analysis.declaring.options import specs
from actlas.analysis.groups.grammar import parse_group, parse_groups, with_words
from actlas.pipeline.models.hook_names import site_names
from actlas.scripts.study.own import read_own
from actlas.scripts.study.stage import Stage, StageKeys
from actlas.scripts.study.tables import entries, filled, shown
from actlas.store.errors import UsageError, unknown

CHOOSING = ("target", "group", "by", "by_length")  # keys of an analysis that chooses tokens itself
_SAY = "; an analysis with a name of its own says which it is with stage ="


def read_stage(
    name: str,
    given: Mapping[str, object],
    where: str,
    folder: Path,
    shared: Sequence[str] = (),
) -> Stage:
    """Return the stage of a table without its key ``run``.

    name: of the analysis; where: what errors call the table; folder: where files of functions and
    words lie; shared: groups of tokens of all analyses, for those that choose none themselves.
    Raises UsageError for what cannot be meant.
    """
    table = dict(given)
    kind = table.pop("stage", name)
    study = _study(kind, where, folder) if isinstance(kind, str) else None
    if study is None:
        error = unknown("stage", str(kind), registry.names())
        raise UsageError(f"{where}: {error}" + ("" if "stage" in given else _SAY))
    keys = StageKeys()
    if study.variants == "named" and "edits" in table:
        keys = filled(StageKeys, {"edits": table.pop("edits")}, where)
    if any(field.name == "group" for field, _ in specs(study.options)):
        table = _with_groups(table, where, folder, shared)
    return Stage(study, _options(study, table, where), keys)


def group_texts(table: Mapping[str, object], where: str, folder: Path) -> tuple[str, ...]:
    """Return groups of a table, name → condition, as ``--group`` takes them.

    Lists of words are read: their files lie in ``folder``. Raises UsageError for what is no group.
    """
    found = []
    for name, condition in table.items():
        if not isinstance(condition, str):
            raise UsageError(f"{where} {name} is {shown(condition)}, expected text, such as 'a|an'")
        try:
            (group,) = parse_groups({name: condition})
            found.append(str(with_words(group, folder)))
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
    return tuple(found)


def _with_groups(
    given: Mapping[str, object], where: str, folder: Path, shared: Sequence[str]
) -> dict[str, object]:
    """Return a table with its groups, those of its own or else the shared ones, as ``group``."""
    table = dict(given)
    texts = table.get("group", [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return table  # refused with the other keys
    own = entries(table.pop("groups", {}), f"{where} groups")
    try:
        found = [str(with_words(parse_group(text), folder)) for text in texts]
    except UsageError as error:
        raise UsageError(f"{where} group: {error}") from error
    found += group_texts(own, f"{where} groups", folder)
    if found or not any(key in table for key in CHOOSING):
        table["group"] = found or list(shared)
    return table


def _study(kind: str, where: str, folder: Path) -> Study[Any] | None:
    if ":" not in kind:
        return registry.find(kind)
    try:
        return read_own(kind, folder)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _options(study: Study[Any], table: dict[str, object], where: str) -> Any:
    hidden = []
    for field, spec in specs(study.options):
        if spec.command_only:
            hidden.append(field.name)
        given = table.get(field.name)
        if spec.sites and isinstance(given, list) and all(isinstance(each, str) for each in given):
            try:
                table[field.name] = list(site_names(given))
            except UsageError as error:
                raise UsageError(f"{where}: {error}") from error
    return filled(study.options, entries(table, where), where, hidden)

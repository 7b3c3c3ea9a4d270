"""The table of an analysis in a study file: which study, of which run, with which options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actlas.analysis import registry
from actlas.analysis.declaring import Study
from actlas.analysis.declaring.options import specs
from actlas.pipeline.models.hook_names import site_names
from actlas.scripts.study.own import read_own
from actlas.scripts.study.stage import Stage, StageKeys
from actlas.scripts.study.tables import entries, filled
from actlas.store.errors import UsageError, unknown

_SAY = "; an analysis with a name of its own says which it is with stage ="


def read_stage(name: str, given: Mapping[str, object], where: str, folder: Path) -> Stage:
    """Return the stage of a table without its key ``run``.

    name: of the analysis; where: what errors call the table; folder: where files of functions lie.
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
    return Stage(study, _options(study, table, where), keys)


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

"""The template of a study file: what is written by hand, and the tables of all other studies."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, get_args, get_type_hints

from actlas.analysis import registry
from actlas.analysis.declaring import Study
from actlas.analysis.declaring.options import OptionSpec, specs
from actlas.scripts.study.ownership import STUDIES

COLUMN = 32  # where comments begin


def template() -> str:
    """Return the template, which runs as it is; studies it does not name are added as comments."""
    text = (STUDIES / "template.toml").read_text(encoding="utf-8")
    parts = [text.rstrip("\n")]
    for name in registry.names():
        if f"[analyses.{name}]" not in text and f'stage = "{name}"' not in text:
            study = registry.find(name)
            parts += [_table(study)] if study else []
    return "\n\n".join(parts) + "\n"


def _table(study: Study[Any]) -> str:
    lines = [f"{f'# [analyses.{study.name}]':{COLUMN}}# {study.help}"]
    if study.variants == "named":
        key = '# edits = ["*"]'
        lines.append(f"{key:{COLUMN}}# which of the run's variants, by pattern")
    hints = get_type_hints(study.options)
    for field, spec in specs(study.options):
        if not spec.command_only and field.name not in study.options.refused:
            key = f"# {field.name} = {example(field, spec, hints[field.name])}"
            lines.append(f"{key:{COLUMN}}# {spec.help.partition('.  [')[0].rstrip('.')}")
    return "\n".join(lines)


def example(field: dataclasses.Field[Any], spec: OptionSpec, hint: Any) -> str:
    """Return the default of an option as TOML, or a value that stands for any where it has none."""
    if field.default not in (dataclasses.MISSING, None, ()):
        return json.dumps(field.default)
    kinds = {hint, *get_args(hint)}
    if field.default == () or any(kind is tuple for kind in kinds):
        return json.dumps([spec.metavar or "…"])
    return json.dumps(spec.metavar or "…") if str in kinds else "1"

"""Groups of tokens: how they are written, which tokens they are, and intervals by clusters."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actlas.analysis.groups.grammar import Group as Group
    from actlas.analysis.groups.grammar import parse_group as parse_group
    from actlas.analysis.groups.selection import select_groups as select_groups
    from actlas.analysis.groups.token_groups import TokenGroups as TokenGroups

#: name → the module that holds it: options are parsed before xarray is imported
_HOMES = {
    "Group": "grammar",
    "TokenGroups": "token_groups",
    "parse_group": "grammar",
    "select_groups": "selection",
}


def __getattr__(name: str) -> Any:
    """Import ``name`` from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

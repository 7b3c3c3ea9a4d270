"""What all studies show of their groups: which tokens they are of, and how they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actlas.analysis.data.group_names import WHOLE
from actlas.analysis.declaring.shown import Cell, Table, cell

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.groups.token_groups import TokenGroups


#: how controls are chosen → what a caption says of it
CONTROLS = {
    "previous": "the token before the target",
    "random": "a random earlier token of the sentence",
    "matched": "a token at the target's position in another sentence",
}
#: dims of a result → how a column of them is headed
HEADERS = {"projection_pair": "pair"}


def with_groups(result: xr.Dataset, groups: TokenGroups) -> xr.Dataset:
    """Return ``result`` with the tokens of its groups, and what is to be said of them."""
    names = list(groups)
    if "group" in result.dims and [str(name) for name in result["group"].values] != names:
        result = result.reindex(group=names)
    found = result.assign(groups.coordinates().data_vars)
    attrs: dict[str, object] = {"group_notes": list(groups.notes)}
    if groups.pairs is not None:
        attrs |= {"selection": groups.pairs.summary(), **groups.pairs.record()}
    return found.assign_attrs(attrs)


def whole_group(result: xr.Dataset | xr.DataArray) -> str:
    """Return the name of the group that has all tokens that are looked at."""
    names = [str(name) for name in result["group"].values]
    return next(name for name in WHOLE if name in names)


def heads_note(result: xr.Dataset) -> str:
    """Return what ends a caption where projections differ in their heads."""
    from actlas.analysis.data.sites import heads_in_words

    words = heads_in_words(result.attrs.get("heads", {}))
    return f"; {words}" if words else ""


def control_note(result: xr.Dataset) -> str:
    """Return what ends a caption where a target is compared with its control: which token it is.

    result: with its options as attributes.
    """
    kind = CONTROLS.get(str(result.attrs.get("control"))) if "pair_target" in result else None
    return f"; control: {kind}" if kind else ""


def group_tables(result: xr.Dataset) -> list[Table]:
    """Return the table of the groups of a result; empty for one that has none."""
    if "group_tokens" not in result:
        return []
    names = ("tokens", "sentences", "clusters", "position")
    rows = []
    for name in result["group"].values:
        at = result.sel(group=name)
        counts = [cell(at[f"group_{each}"], "d") for each in names[:3]]
        rows.append((cell(str(name)), *counts, cell(at["group_position"], ".3g")))
    caption = f"Groups of tokens{control_note(result)}"
    return [Table.of(caption, ("group", *names[:3], "mean position"), rows)]


def contrast_table(result: xr.Dataset, name: str, caption: str) -> list[Table]:
    """Return the differences of ``name`` between groups with their intervals, where there are any.

    A row for each contrast and place; caption: with the unit, where there is one.
    """
    if f"{name}_contrast" not in result:
        return []
    difference, bounds = result[f"{name}_contrast"], result.get(f"{name}_contrast_interval")
    dims = [str(dim) for dim in difference.dims]
    flat = difference.stack(at=dims, create_index=False)
    limits = None if bounds is None else bounds.stack(at=dims, create_index=False)
    rows = []
    for place in range(flat.sizes["at"]):
        here = flat.isel(at=place)
        where = [_label(here[dim].values[()] if dim in here.coords else place) for dim in dims]
        numbers = [cell(here)]
        if limits is not None:
            numbers += [cell(limits.isel(at=place).sel(bound=end)) for end in ("lower", "upper")]
        rows.append((*where, *numbers))
    ends = () if bounds is None else ("95 % from", "to")
    header = (*(HEADERS.get(dim, dim) for dim in dims), "difference", *ends)
    return [Table.of(f"{caption}{control_note(result)}", header, rows)]


def _label(value: object) -> Cell:
    """Return the cell of a coordinate: a number of a layer, or a name; ``A:B`` is a difference."""
    return cell(value.replace(":", " − ")) if isinstance(value, str) else cell(value, "d")


def apart(result: xr.Dataset, name: str, what: str) -> list[str]:
    """Say for each contrast at how many places the interval of its difference excludes 0.

    what: how the sentence calls the numbers.
    """
    bounds = result.get(f"{name}_contrast_interval")
    if bounds is None:
        return []
    found = []
    for contrast in bounds["contrast"].values:
        lower, upper = (bounds.sel(bound=end, contrast=contrast) for end in ("lower", "upper"))
        known = int((lower.notnull() & upper.notnull()).sum())
        if not known:  # one of the groups has no numbers
            continue
        above, below = int((lower > 0).sum()), int((upper < 0).sum())
        one, _, other = str(contrast).partition(":")
        found.append(
            f"{what} of {one} above that of {other} at {above} of {known} places, below at {below} "
            "(95 % intervals over clusters)"
        )
    return found

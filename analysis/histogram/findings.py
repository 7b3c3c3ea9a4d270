"""How values are distributed, in sentences."""

from __future__ import annotations

import xarray as xr

from actlas.analysis.declaring.group_tables import whole_group
from actlas.analysis.declaring.phrases import number, places
from actlas.analysis.declaring.shown import Caption

SAME = 0.05  # relative change of a spread below which it stays as it is
WIDER = 2.0  # times from which on a growth is said in times


def headline(result: xr.Dataset, place: str) -> str:
    """Return where compared groups lie farthest apart beyond chance; else how the spread goes."""
    return _farthest_apart(result, place) or spread(result, place)


def spread(result: xr.Dataset, place: str) -> str:
    """Say how the spread of all tokens goes from the first place to the last."""
    site, whole = str(result.attrs["site"]), whole_group(result)
    std, numbers = result["std"].sel(group=whole).values, result[place].values
    line = f"{site}: standard deviation of {whole} {number(std[0])} at {place} {numbers[0]}"
    if len(std) == 1:
        return line
    line += f", {number(std[-1])} at {place} {numbers[-1]}"
    if not std[0] > 0 or abs(std[-1] / std[0] - 1) < SAME:
        return line
    times = std[-1] / std[0]
    how = f"{times:.3g} times as wide" if times >= WIDER else f"{times - 1:+.0%}"
    return f"{line} ({how})"


def tails(result: xr.Dataset, place: str) -> list[str]:
    """Say where the values of all tokens lean most to one side."""
    skew = result["skew"].sel(group=whole_group(result))
    if not bool(skew.notnull().any()):
        return []
    most = skew.isel({place: int(abs(skew).fillna(-1).values.argmax())})
    return [f"most askew at {place} {int(most[place])}: skewness {number(most, '+.3g')}"]


def farthest(result: xr.Dataset, place: str) -> list[str]:
    """Say which group lies farthest from all tokens, in their standard deviations."""
    whole = whole_group(result)
    std = result["std"].sel(group=whole)
    away = (result["distance"] / std.where(std > 0)).stack(at=("group", place))
    if not bool(away.notnull().any()) or not float(away.max()) > 0:
        return []
    most = away.isel(at=int(away.fillna(-1).values.argmax()))
    return [
        f"farthest from {whole}: {most['group'].item()} at {place} {int(most[place])}, "
        f"{number(most)} standard deviations on average"
    ]


def beyond_chance(result: xr.Dataset, place: str) -> list[str]:
    """Say for each contrast at how many places the distance is more than chance gives."""
    if "group_distance" not in result:
        return []
    beyond, found = result["group_distance"] > result["group_distance_chance_upper"], []
    for contrast in beyond["contrast"].values:
        one, _, other = str(contrast).partition(":")
        count = int(beyond.sel(contrast=contrast).sum())
        found.append(
            f"values of {one} and {other} lie farther apart than by chance at {count} of "
            f"{beyond.sizes[place]} {place}s (95 % of permutations of clusters)"
        )
    return found


def caption(result: xr.Dataset, place: str) -> Caption:
    """Return the caption: how the spread goes, and who leaves the others where."""
    lines = [spread(result, place), *farthest(result, place), *beyond_chance(result, place)[:1]]
    note = " ".join(f"{line[0].upper()}{line[1:]}." for line in lines)
    return Caption("Histograms by layer, a line for each group of tokens", note)


def distance_caption(result: xr.Dataset, place: str) -> Caption:
    """Return the caption of the distances: where they are beyond chance."""
    lines = " ".join(f"{line[0].upper()}{line[1:]}." for line in beyond_chance(result, place))
    drawn = "Dotted: by chance, groups permuted; dashed: 95 % of chance lies below."
    return Caption("Distance between groups, and by chance", f"{drawn} {lines}".strip())


def _farthest_apart(result: xr.Dataset, place: str) -> str:
    """Say of the first contrast where it lies farthest beyond chance, empty where nowhere."""
    if "group_distance" not in result:
        return ""
    first = result.isel(contrast=0)
    beyond = first["group_distance"] - first["group_distance_chance_upper"]
    above = [int(at) for at in beyond[place].values[(beyond > 0).values]]
    if not above:
        return ""
    most = first.isel({place: int(beyond.fillna(-1).values.argmax())})
    one, _, other = str(most["contrast"].values).partition(":")
    return (
        f"values of {one} and {other} in {result.attrs['site']} differ beyond chance at "
        f"{places(above, place)}, most at {place} {int(most[place])}: distance "
        f"{number(most['group_distance'])}, by chance below "
        f"{number(most['group_distance_chance_upper'])} in 95 %"
    )

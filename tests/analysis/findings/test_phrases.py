"""How numbers, intervals and layers stand in a sentence."""

import math

import numpy as np
import pytest
import xarray as xr

from actlas.analysis.declaring.phrases import (
    bracket_note,
    holds_value,
    interval,
    measured,
    number,
    places,
)


def bounds(lower, upper):
    return xr.DataArray([lower, upper], {"bound": ["lower", "upper"]})


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00214, "0.00214"), (5.0227, "5.02"), (12345.6, "12,346"), (math.nan, "nan"), (0, "0")],
)
def test_a_number_has_three_digits(value, text):
    assert number(value) == text


def test_an_interval_stands_in_brackets():
    assert interval(bounds(4.6, 5.4)) == " [4.6, 5.4]"
    assert interval(bounds(math.nan, 1.0)) == interval(None) == ""
    result = xr.Dataset({"x": ("layer", [1.0, 2.0])}, {"layer": [3, 4]})
    assert measured(result, "x", layer=4) == "2"
    both = np.array([[0.5, 1.5], [1.5, 2.5]])
    result["x_interval"] = (("bound", "layer"), both)
    result = result.assign_coords(bound=["lower", "upper"])
    assert measured(result, "x", layer=4) == "2 [1.5, 2.5]"


def test_whether_a_value_is_within():
    assert holds_value(bounds(-1.0, 1.0)) is True
    assert holds_value(bounds(0.5, 1.0)) is False
    assert holds_value(bounds(0.5, 1.5), 1.0) is True
    assert holds_value(bounds(math.nan, 1.0)) is holds_value(None) is None


def test_layers_are_ranges():
    assert places([3]) == "layer 3"
    assert places([5, 0, 1, 2, 7]) == "layers 0–2, 5 and 7"
    assert places([0, 1], "depth") == "depths 0–1"


def test_brackets_are_explained_where_there_are_any():
    result = xr.Dataset(attrs={"cluster": "story"})
    assert bracket_note(result, ["a"]) == ["a"]
    assert "(story)" in bracket_note(result, ["a [1, 2]"])[-1]

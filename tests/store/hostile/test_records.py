"""Forged records, under checksums that hold, are refused in one line."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actlas.store import DamagedStore, Run
from actlas.store.format.commit_record import CommitRecord
from actlas.store.format.schema import seal
from actlas.store.runs.commits import read_commit
from tests.store.hostile.forging import commit_paths, reseal
from tests.store.making import problems


def replaced(record, key, value):
    """Return ``record`` with another value at a path of keys."""
    if not key:
        return value
    if isinstance(record, list):
        inner = replaced(record[key[0]], key[1:], value)
        return [*record[: key[0]], inner, *record[key[0] + 1 :]]
    return {**record, key[0]: replaced(record.get(key[0]), key[1:], value)}


Q, NLL = ("sites", "q"), ("sites", "nll")
FORGED = [
    (("size",), -1),
    (("size",), 10),
    (("size",), 1 << 80),
    (("size",), 5.5),
    (("size",), True),
    (("units", 0, 3), 0),
    (("units", 0, 3), 1 << 70),
    (("units", 0, 3), 9),
    (("units", 0, 2), -3),
    (("units", 0, 1), "0"),
    (("sites",), []),
    (("sites",), {"../q": {}}),
    ((*Q, "offset"), -4096),
    ((*Q, "offset"), 1 << 40),
    ((*Q, "offset"), "here"),
    (("checksums", "q"), ""),
    (("checksums", "q"), 5),
    (("checksums", "q"), "0" * 64),
    (("checksums", "q"), "x" * 48),
    (("units",), []),
    (("units",), [[0, 0, 3, 8], [1, 3, 1, 2]]),
    (("dropped",), [0]),
    (("dropped",), [7]),
    ((*Q, "layout", "site"), "nll"),
    ((*Q, "layout", "dims"), ["layer"]),
    ((*Q, "layout", "dims"), ["layer", "layer", "head", "d_head"]),
    ((*Q, "layout", "shape"), [3, 8, 1 << 32, 1 << 32]),
    ((*Q, "layout", "shape"), [3, 8, -2, -5]),
    ((*Q, "layout", "shape"), [3, 8, 0, 5]),
    ((*Q, "layout", "shape"), [3, 8, 2.0, 5]),
    ((*Q, "layout", "shape"), "3825"),
    ((*Q, "layout", "dtype"), "object"),
    ((*Q, "layout", "dtype"), "float64"),
    (("labels",), {}),
    (("labels", "text", "dtype"), "O"),
    (("labels", "text", "shape"), [3, 1 << 50]),
    (("labels", "position", "dtype"), "<c16"),
    (("labels", "position", "dtype"), "i4,i4"),
    (("labels", "position", "offset"), 1 << 60),
    (("labels", "position", "shape"), [3, 1]),
    (("labels", "row_size", "shape"), [30]),
    (("label_checksums", "position"), ""),
    (("label_checksums", "position"), 5),
    (("labels", "position", "checksum"), "0" * 16),
    (
        ("labels", "surprise"),
        {"dims": ["sentence"], "shape": [3], "dtype": "<i8", "offset": 10},
    ),
    (("metadata_checksum",), 0),
    (("run",), "../../x"),
    (("pools", "provenance"), None),
    (("members", "edits"), [1]),
]


@pytest.mark.parametrize(("key", "value"), FORGED, ids=str)
def test_a_forged_commit_is_refused_in_one_line(key, value, copied):
    path = commit_paths(copied)[0]
    reseal(path, replaced(json.loads(json.dumps(read_commit(path).to_json())), key, value))
    with pytest.raises(DamagedStore, match=path.name) as found:
        read_commit(path)
    assert len(str(found.value).splitlines()) == 1
    assert len(str(found.value)) < 500
    assert len(problems(copied)) == 1


def test_variables_may_not_lie_on_each_other(copied):
    path = commit_paths(copied)[0]
    commit = read_commit(path)
    for moved, place in (("nll", commit.sites["q"].offset), ("nll", commit.labels["text"].offset)):
        record = commit.to_json()
        record["sites"][moved]["offset"] = place
        reseal(path, record)
        with pytest.raises(DamagedStore, match="overlap"):
            read_commit(path)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)


values = st.recursive(
    scalars,
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(), x, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_forged_value_anywhere_is_more_than_an_error(data, stored, tmp_path_factory):
    record = json.loads(json.dumps(stored.records[0].to_json()))
    key, place = (), record
    while isinstance(place, dict) and place and (not key or data.draw(st.booleans())):
        key = (*key, data.draw(st.sampled_from(sorted(place))))
        place = place[key[-1]]
    path = tmp_path_factory.mktemp("forged") / "00000000-00000000.json"
    path.write_bytes(seal(replaced(record, key, data.draw(values))))
    try:
        commit = read_commit(path)
    except DamagedStore as error:
        assert path.name in str(error)
    else:
        assert isinstance(commit, CommitRecord)
        assert all(
            site.offset + site.layout.nbytes <= commit.size for site in commit.sites.values()
        )


@pytest.mark.parametrize(
    "units",
    [
        [[1, 0, 3, 8]],
        [[0, 1, 3, 8]],
        [[0, 0, 3]],
        [[0, 0, 9, 8]],
        [[0, 0, 0, 0]],
        [[0, 0, "3", 8]],
        "units",
        None,
        [7],
    ],
)
def test_a_forged_plan_is_refused(units, copied):
    path = copied.folder / "run.json"
    record = json.loads(path.read_bytes())
    record.pop("checksum")
    reseal(path, {**record, "units": units})
    with pytest.raises(DamagedStore, match=r"run\.json lacks a field or has a wrong one"):
        Run(copied.folder)


def test_units_of_different_shapes_are_not_taken_for_one_array(copied):
    path = commit_paths(copied)[1]
    commit = read_commit(path)
    record = json.loads(json.dumps(commit.to_json()))
    record["sites"]["q"]["layout"]["shape"] = [3, commit.units[0].tokens, 5, 2]
    reseal(path, record)
    copied.refresh()
    with pytest.raises(DamagedStore, match="has q in another shape"):
        copied.dataset(["q"])

"""A damaged result, figure or record is out of date: no traceback, no number that is believed."""

import json
import shutil

import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actlas.analysis.results.seals import DamagedResult, check_result, read_seal
from actlas.scripts.study.record import DamagedRecord, read_record, write_record
from actlas.store.errors import ActlasError, UsageError
from actlas.store.format.schema import seal
from tests import commands
from tests.answers import sealed_again

RESULTS = "actlas-small/results"


def states(folder):
    """Return analysis → what `study check` says of it."""
    done = commands.run(folder, "study", "check", "small.toml", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["analyses"]


def flip(path, place=-1000):
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def empty(path):
    path.write_bytes(b"")


def foreign(path):
    xr.Dataset({"x": 1}).to_netcdf(path, engine="h5netcdf")


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flip, cut, empty, foreign, lambda path: path.unlink()])
@pytest.mark.parametrize("file", ["variance.nc", "variance.svg", "variance.png"])
def test_a_damaged_file_is_reported_and_its_analysis_done_again(actlas, studied, damage, file):
    path = studied / RESULTS / "variance" / file
    before = path.read_bytes()
    damage(path)
    assert states(studied)["variance"] == "damaged or lost: it is made again"
    done = actlas("verify", "actlas-small")
    assert done.returncode == 1
    assert str(path.relative_to(studied)) in done.stderr
    refused = actlas("report", "actlas-small")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert file in refused.stderr
    done = actlas("study", "run", "small.toml", "--json")
    assert done.returncode == 0, done.stderr
    lines = [line["did"] for line in json.loads(done.stdout)["done"] if line["of"] == "variance"]
    assert len(lines) == 2
    assert lines[0].startswith("to be done again: ")
    assert path.read_bytes() == before
    assert actlas("verify", "actlas-small").returncode == 0
    assert set(states(studied).values()) == {"up to date"}


@pytest.mark.slow
def test_results_of_two_analyses_swapped_are_reported_and_done_again(actlas, studied):
    text = (studied / "small.toml").read_text()
    (studied / "small.toml").write_text(
        f'{text}\n[analyses.other]\nstage = "variance"\ntarget = "the"\n'
    )
    assert actlas("study", "run", "small.toml").returncode == 0
    one, other = studied / RESULTS / "variance", studied / RESULTS / "other"
    for source, target in ((one, studied / "aside"), (other, one), (studied / "aside", other)):
        source.rename(target)
    assert {name for name, state in states(studied).items() if state != "up to date"} == {
        "variance",
        "other",
    }
    done = actlas("verify", "actlas-small")
    assert (done.returncode, done.stderr.count("is not the result that study.json records")) == (
        1,
        2,
    )
    refused = actlas("report", "actlas-small")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert actlas("study", "run", "small.toml").returncode == 0
    assert actlas("verify", "actlas-small").returncode == 0
    assert "“the”" in (studied / "actlas-small/report.html").read_text()


def test_verify_takes_a_folder_and_says_what_belongs_to_nothing(actlas, studied, tmp_path):
    done = actlas("verify", "actlas-small")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(", ok\n") == 6
    (tmp_path / "actlas-small/notes.png").write_bytes(b"mine")
    assert "notes.png is of no result" in actlas("verify", "actlas-small/").stdout
    record = json.loads(actlas("verify", "actlas-small", "--json").stdout)
    assert (len(record["results"]), record["problems"], len(record["notes"])) == (6, [], 1)
    shutil.copytree(tmp_path / RESULTS / "scan", tmp_path / "alone")
    (tmp_path / "alone/scan.nc").unlink()
    lost = actlas("verify", "alone")
    assert (lost.returncode, lost.stderr.count("belongs to no result")) == (1, 2)
    flip(tmp_path / "actlas-small/report.html")
    altered = actlas("verify", "actlas-small")
    assert (altered.returncode, "report.html was altered" in altered.stderr) == (1, True)
    (tmp_path / "nothing").mkdir()
    nothing = actlas("verify", "nothing")
    assert (nothing.returncode, len(nothing.stderr.splitlines())) == (2, 1)
    both = actlas("verify", "actlas-small", "--repair")
    assert (both.returncode, "folder of results" in both.stderr) == (2, True)


def test_a_run_is_verified_where_a_folder_has_its_name(actlas, store, tmp_path):
    assert store.run("it")
    (tmp_path / "it").mkdir()
    assert actlas("verify", "it", "--store", "store").stdout.startswith("it: ")


@pytest.mark.slow
def test_a_renamed_result_is_refused(actlas, store, tmp_path):
    assert store.run("it")
    assert (
        actlas("variance", "it", "--store", "store", "--target", "her", "--out", "out").returncode
        == 0
    )
    (path,) = (tmp_path / "out").glob("*.nc")
    path.rename(path.with_name("figure-1.nc"))
    done = actlas("report", "out", "--store", "store")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "figure-1.nc was renamed" in done.stderr
    assert actlas("verify", "out").returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", [flip, cut, empty, lambda path: path.write_bytes(path.read_bytes()[:100])]
)
def test_a_damaged_record_is_reported_and_made_again(actlas, studied, damage):
    path = studied / "actlas-small/study.json"
    damage(path)
    assert set(states(studied).values()) == {"missing"}
    assert "study.json was altered or cut short" in actlas("verify", "actlas-small").stderr
    refused = actlas("report", "actlas-small")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    done = actlas("study", "run", "small.toml")
    assert done.returncode == 0, done.stderr
    assert "study.json" in done.stdout.splitlines()[0]
    assert actlas("verify", "actlas-small").returncode == 0
    assert set(states(studied).values()) == {"up to date"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value, before=()):
    """Yield the way to each part of a JSON value."""
    yield before
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield from places(inner, (*before, key))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_sealed_record_with_any_part_of_another_type_is_refused_or_read(
    studied_once, tmp_path, data
):
    record = json.loads((studied_once[0] / "actlas-small/study.json").read_bytes())
    del record["checksum"]
    way = data.draw(st.sampled_from([way for way in places(record) if way]))
    inner = record
    for key in way[:-1]:
        inner = inner[key]
    if data.draw(st.booleans()):
        inner[way[-1]] = data.draw(json_values)
    else:
        del inner[way[-1]]
    path = tmp_path / "study.json"
    path.write_bytes(seal(record))
    try:
        found = read_record(path)
    except (DamagedRecord, UsageError) as error:
        assert len(str(error).splitlines()) == 1
    else:
        write_record(path, found)
        assert read_record(path) == found


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200)
    | st.just(b"[" * 100_000)
    | st.just(b'{"a":' * 100_000)
    | st.just(b"9" * 5000)
)
def test_any_bytes_for_a_record_are_one_line(tmp_path, content):
    path = tmp_path / "study.json"
    path.write_bytes(content)
    with pytest.raises((DamagedRecord, UsageError), match=r"study\.json") as caught:
        read_record(path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_record_that_is_a_folder_a_pipe_or_a_giant_is_one_line(tmp_path):
    import os

    from actlas.scripts.study.record import LARGEST

    path = tmp_path / "study.json"
    os.mkfifo(path)
    with pytest.raises(UsageError, match="not a regular file"):
        read_record(path)
    path.unlink()
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(UsageError, match="expected at most"):
        read_record(path)


CHANGES = [
    lambda result: result.drop_vars(
        [name for name in result.variables if name not in ("layer", "group")]
    ),
    lambda result: result.isel({dim: slice(0) for dim in result.dims}),
    lambda result: result.rename({dim: f"{dim}s" for dim in result.dims}),
    lambda result: result.map(lambda each: each.astype(str)),
    lambda result: result.assign_attrs(options="[1]"),
    lambda result: result.assign_attrs(
        options='{"target": 3, "edited": 1, "left_out": [1, [99, "x"]]}'
    ),
    lambda result: result.assign_attrs(options="[" * 100_000),
    lambda result: result.assign_attrs(runs=""),
    lambda result: result.assign_attrs(runs="../../etc/passwd"),
    lambda result: result.assign_attrs(software="null"),
    lambda result: result.assign(
        {name: result[name] + 10**6 for name in result if str(name).startswith("pair_")}
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["variance", "cosine", "reconstruct", "norms", "scan", "both"])
def test_sealed_results_that_no_stage_would_write_are_shown_or_refused_in_a_line(studied, stage):
    from actlas.scripts.reporting.page import write_report

    source = next((studied / RESULTS / stage).glob("*.nc"))
    for number, change in enumerate(CHANGES):
        folder = studied / f"{stage}-{number}"
        shutil.copytree(source.parent, folder)
        sealed_again(folder / source.name, change)
        try:
            write_report(folder, studied / "actlas-small/store")
        except ActlasError as error:
            assert len(str(error).splitlines()) == 1
            assert source.name in str(error)


def test_what_is_checked_is_what_is_read(studied):
    path = studied / RESULTS / "scan/scan.nc"
    assert check_result(path) == read_seal(path)
    flip(path, 5000)
    with pytest.raises(DamagedResult):
        check_result(path)


def test_the_record_of_a_later_version_is_left_alone(actlas, studied):
    path = studied / "actlas-small/study.json"
    record = json.loads(path.read_bytes()) | {"version": 2, "further": 1}
    del record["checksum"]
    path.write_bytes(seal(record))
    before = path.read_bytes()
    for words in (
        ("study", "run", "small.toml"),
        ("study", "check", "small.toml"),
        ("report", "actlas-small"),
    ):
        done = actlas(*words)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert "update actlas" in done.stderr
    assert "update actlas" in actlas("verify", "actlas-small").stderr
    assert path.read_bytes() == before

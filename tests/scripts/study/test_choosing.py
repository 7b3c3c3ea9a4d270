"""Some analyses of a study, several side by side, and what is said of those that fail."""

import json
import os
import signal
import threading
import time

import pytest

from actlas.scripts.study.record import read_record
from actlas.scripts.study.workers import PRELOADED, Workers, default_jobs, workers
from actlas.store.errors import ActlasError
from tests import commands
from tests.scripts.study.test_study import change, redone

ALL = ("variance", "cosine", "reconstruct", "norms", "scan", "both")
OWN = """
import os, time
import xarray as xr

def fails(ds):
    raise ValueError("no such thing")

def dies(ds):
    os.kill(os.getpid(), 9)

def sleeps(ds):
    open("asleep", "w").close()
    time.sleep(60)

def counts(ds):
    return xr.Dataset({"tokens": ds.sizes["token"]})
"""


def call(folder, *arguments, code=0):
    done = commands.run(folder, "study", "run", "small.toml", "--quiet", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def listed(folder, *arguments):
    stages = json.loads(call(folder, "--list", "--json", *arguments).stdout)["stages"]
    return {each["name"]: each["state"] for each in stages}


def written(folder):
    files = (folder / "actlas-small").rglob("*")
    return {path: path.stat().st_mtime_ns for path in files if path.is_file()}


def test_the_list_says_what_is_up_to_date_and_why_the_rest_is_not(studied):
    before = written(studied)
    assert listed(studied) == dict.fromkeys(("it", *ALL), "up to date")
    change(studied, "bins = 20", "bins = 30")
    change(studied, "[analyses.both]", "[analyses.other]")
    found = listed(studied)
    assert found["cosine"] == "out of date: bins was 20, is 30"
    assert found["other"] == "missing"
    assert found["variance"] == "up to date"
    change(studied, '"skip:layer=*", ', '"skip:layer=*", "scale:layer=0,factor=3", ')
    found = listed(studied)
    assert found["it"] == "missing: 1 of 6 runs"
    assert found["variance"] == "out of date: run it is not stored as the study file has it"
    lines = call(studied, "--list", "--only", "variance").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["name", "stage"], ["it", "run"], ["variance", "variance"],
    ]  # fmt: skip
    assert written(studied) == before


def test_a_damaged_result_and_one_to_be_made_again_are_listed(studied):
    (studied / "actlas-small/results/norms/norms.nc").unlink()
    found = listed(studied, "--force", "scan")
    assert found["norms"] == "damaged or lost: it is made again"
    assert found["scan"] == "up to date, made again by --force"


@pytest.mark.slow
def test_only_does_some_and_leaves_the_others_as_they_are(studied):
    change(studied, "bins = 20", "bins = 30")
    change(studied, "[analyses.norms]", "[analyses.norms]\noutliers = 2")
    assert redone(studied, "--only", "norms", "--only", "scan") == {"norms"}
    assert listed(studied)["cosine"] == "out of date: bins was 20, is 30"
    record = read_record(studied / "actlas-small/study.json")
    assert tuple(record["analyses"]) == ALL


@pytest.mark.slow
def test_only_makes_just_the_runs_that_it_reads(studied):
    text = (studied / "small.toml").read_text()
    more = '[runs.more]\nsentences = "her.txt"\nno_special = true\nbos = false\nlayers = "0"\n'
    text = text.replace("[analyses.", "X.analyses.", 1).replace("X.", f"{more}\n[", 1)
    for name in ALL:
        text = text.replace(f"[analyses.{name}]", f'[analyses.{name}]\nrun = "it"')
    text += '\n[analyses.first]\nstage = "norms"\nrun = "more"\n'
    (studied / "small.toml").write_text(text)
    assert redone(studied, "--only", "variance") == set()
    assert "more" not in read_record(studied / "actlas-small/study.json")["runs"]
    assert redone(studied, "--only", "first") >= {"first"}


@pytest.mark.parametrize("option", ["--only", "--force"])
def test_an_unknown_name_is_one_line_with_the_nearest(studied, option):
    done = call(studied, option, "varianxe", code=2)
    assert done.stderr.startswith("Error: small.toml: unknown analysis 'varianxe': did you mean")
    assert "variance" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def with_own(folder, *functions):
    (folder / "mine.py").write_text(OWN)
    tables = [f'[analyses.{name}]\nstage = "mine.py:{name}"\n' for name in functions]
    path = folder / "small.toml"
    path.write_text(path.read_text().replace("[analyses.variance]", "X", 1))
    path.write_text(path.read_text().replace("X", "\n".join([*tables, "[analyses.variance]"]), 1))


@pytest.mark.parametrize("jobs", [1, 2])
def test_where_one_fails_the_others_are_done_and_one_line_says_why(studied, jobs):
    with_own(studied, "fails", "counts")
    done = call(studied, "--jobs", jobs, code=1)
    assert done.stderr == "Error: mine.py, line 6: ValueError: no such thing\n"
    assert "counts       done in" in done.stdout
    assert "up to date" in done.stdout
    record = read_record(studied / "actlas-small/study.json")
    assert set(record["analyses"]) == {*ALL, "counts"}


def test_a_process_that_is_killed_is_one_line(studied):
    with_own(studied, "dies", "counts")
    done = call(studied, "--jobs", 2, code=1)
    assert "its process ended early (signal 9): is there enough memory?" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "counts       done in" in done.stdout


def test_ctrl_c_ends_all_processes(studied):
    with_own(studied, "sleeps", "counts")
    command = commands.Command(
        studied, "study", "run", "small.toml", "--quiet", "--jobs", 2, own_group=True
    )
    while not (studied / "asleep").exists():
        assert command.poll() is None
        time.sleep(0.01)
    os.killpg(command.pid, signal.SIGINT)  # as a terminal does
    command.wait(30)
    assert (command.returncode, command.said[1].strip()) == (130, "Error: interrupted")
    with pytest.raises(ProcessLookupError):
        os.killpg(command.pid, 0)


@pytest.mark.slow
def test_force_makes_again_the_same_side_by_side_and_one_after_the_other(studied):
    forced = ("--only", "norms", "--force", "reconstruct", "--force", "norms")
    contents = []
    for jobs in (1, 2):
        assert redone(studied, *forced, "--jobs", jobs) == {"reconstruct", "norms"}
        files = sorted((studied / "actlas-small/results").rglob("*.*"))
        contents.append({path: path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert len(contents[0]) > 12
    said = call(studied, *forced).stdout  # in the order of the study file
    done = [line.split()[0] for line in said.splitlines() if "done in" in line]
    assert done == ["reconstruct", "norms"]


def test_jobs_are_bounded_by_cores():
    assert 1 <= default_jobs() <= len(os.sched_getaffinity(0))
    assert not any(name.partition(".")[0] == "torch" for name in PRELOADED)


def refuses():
    raise ActlasError("not today")


def exits():
    os._exit(3)


def test_workers_give_results_and_errors():
    if threading.active_count() > 1:
        pytest.skip("an earlier test left a thread behind: nothing is forked then")
    with workers(2) as pool:
        assert isinstance(pool, Workers)
        jobs = [pool.submit(sorted, [number, 0]) for number in range(4)]
        bad, ended = pool.submit(refuses), pool.submit(exits)
        pool.nothing_else()
        assert [job.result() for job in reversed(jobs)] == [[0, 3], [0, 2], [0, 1], [0, 0]]
        with pytest.raises(ActlasError, match="not today"):
            bad.result()
        with pytest.raises(ActlasError, match="ended early"):
            ended.result()


def asleep(place):
    """Say which process this is, and be busy."""
    place.write_text(str(os.getpid()))
    time.sleep(60)


def test_nothing_is_left_of_jobs_whose_results_nobody_reads(tmp_path, capfd):
    if threading.active_count() > 1:
        pytest.skip("an earlier test left a thread behind: nothing is forked then")
    pool = Workers(3)  # two at a time
    pool.submit(sorted, [1, 0])
    pool.submit(asleep, tmp_path / "process")
    limit = time.monotonic() + 60
    while not (pool._connection.poll() and (tmp_path / "process").exists()):
        assert time.monotonic() < limit
        time.sleep(0.01)
    pool.stop()
    # nobody takes in what it left: it is gone, and no zombie
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "process").read_text()), 0)
    assert capfd.readouterr().err == ""

"""Verification while somebody writes, packs or was killed at it has no false alarm."""

import subprocess
import sys

import numpy as np
import pytest

from actlas.store import Run, Store
from actlas.store.format.schema import stem
from actlas.store.maintenance.gc import collect
from actlas.store.maintenance.verify import verify
from tests.store.killing import killed_stores
from tests.store.making import (
    Content,
    begin_run,
    make_run,
    make_variant,
    parts,
    problems,
    write_unit,
)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["before", "after"])
def test_a_writer_killed_around_its_commit_is_no_damage_and_its_unit_is_whole_or_not_there(
    step, tmp_path
):
    content = Content(units=((2,), (1,)), dtypes={"nll": "float32"})
    begin_run(tmp_path / "store", content, "her")
    imports = "from tests.store.making import Content, write_unit"
    code = 'content = Content(units=((2,), (1,)), dtypes={"nll": "float32"}); '
    code += 'write_unit(Store(store).run("her"), content, 0, ("nll",))'
    seen = set()
    for path in killed_stores(tmp_path / "store", tmp_path / "killed", imports, code):
        run = Store(path).run("her")
        assert problems(run) == []
        linked = len(list((run.folder / "shards").iterdir()))
        seen.add((linked, len(run.commits)))
        if step == "after":
            assert collect(Store(path)).problems == ()
            assert collect(Store(path)).garbage == ()
            run.refresh()
            assert len(run.commits) == linked
        for unit in (0, 1):
            write_unit(run, content, unit, ("nll",))
        run.refresh()
        np.testing.assert_array_equal(run.dataset()["nll"].values, content.values["nll"])
        assert len(list((run.folder / "shards").iterdir())) == 2
    assert seen == {(0, 0), (1, 0), (1, 1)}


PACKER = """
import sys
from pathlib import Path
from actlas.store import Run
from actlas.store.maintenance.verify import verify
from actlas.store.writing.pack import pack
run = Run(Path(sys.argv[1]))
for most in [20_000, 1 << 30] * 8:
    run.refresh()
    pack(run, most)
"""


@pytest.mark.slow
def test_verify_while_the_files_are_packed_has_no_false_alarm(tmp_path, pytestconfig):
    content = Content(
        units=tuple((2,) for _ in range(40)), dtypes={"q": "float32", "resid": "float32"}
    )
    baseline = make_run(tmp_path / "store", content, "her", edits=[])
    variant = make_variant(
        tmp_path / "store", baseline, Content(units=content.units, dtypes=content.dtypes, seed=1)
    )
    looks = 0
    command = [sys.executable, "-c", PACKER]
    with (
        subprocess.Popen([*command, baseline.folder], cwd=pytestconfig.rootpath) as one,
        subprocess.Popen([*command, variant.folder], cwd=pytestconfig.rootpath) as other,
    ):
        while one.poll() is None or other.poll() is None:
            for run in (Run(baseline.folder), Run(variant.folder)):
                found = list(verify(run))
                assert [item for item in found if item.problems] == []
                assert {item.commit for item in found} == {
                    f"{stem(number, parts(content, content.dtypes))}.json" for number in range(40)
                }
            looks += 1
    assert (one.returncode, other.returncode) == (0, 0)
    assert looks > 3

"""Stores that were written once: this version, and every later one, reads them as they are.

So does the reader in the docs.
"""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import xxhash

from actlas.store import Store
from actlas.store.format.schema import FORMAT_VERSION, canonical
from actlas.store.maintenance.verify import verify
from tests.golden.remake import ADDED, DTYPES, FOLDER, NAME, SITES, after, before, golden, packed
from tests.store.making import FIRST

READER = Path(__file__).parents[2] / "docs" / "examples" / "read_store.py"


@pytest.fixture(params=DTYPES)
def dtype(request):
    return request.param


@pytest.fixture
def path(dtype):
    return FOLDER / f"version-1-{dtype}"


def test_golden_stores_are_of_every_version_and_small():
    stores = sorted(path.name for path in FOLDER.glob("version-*"))
    assert {name.split("-")[1] for name in stores} == {
        str(version) for version in range(1, FORMAT_VERSION + 1)
    }
    assert (
        sum(file.stat().st_size for file in FOLDER.rglob("*.*") if file.suffix in (".h5", ".json"))
        < 400_000
    )


def test_a_golden_store_is_read_as_it_was_written(path, dtype):
    content, run = golden(dtype), Store(path).run(NAME)
    assert [problem for checked in verify(run) for problem in checked.problems] == []
    assert run.units == content.plan
    dataset = run.dataset(check=True)
    assert set(dataset.data_vars) == {*SITES, ADDED}
    for site, values in content.values.items():
        np.testing.assert_array_equal(dataset[site].values, values)
    sentence = content.labels.token["sentence"]
    for name, array in content.labels.token.items():
        np.testing.assert_array_equal(dataset[name].values, array)
    for name, array in {
        **content.labels.columns,
        "text": np.array(content.labels.text, dtype=object),
    }.items():
        np.testing.assert_array_equal(dataset[name].values, array[sentence])


def test_the_reader_in_the_docs_reads_what_we_read(path, dtype):
    read_site, content = runpy.run_path(str(READER))["read_site"], golden(dtype)
    for site, values in content.values.items():
        found, texts = read_site(path, NAME, site)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, values)
        assert texts == list(content.labels.text)
    with pytest.raises(ValueError, match="lacks pattern in unit 0"):
        read_site(path, NAME, "pattern")


def test_the_reader_in_the_docs_is_a_program_of_a_page_without_actlas(path):
    done = subprocess.run(
        [sys.executable, str(READER), str(path), NAME, "q"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "float32 (3, 8, 2, 5)" in done.stdout
    code = [line for line in READER.read_text().splitlines() if line.strip()]
    assert len(code) < 70
    assert not any("actlas" in line for line in code if "import" in line)


def test_what_the_docs_say_of_bytes_holds(path):
    """Checksums, canonical form, places: recomputed here from the description alone."""
    (run,) = (path / "runs").iterdir()
    for file in [
        path / "store.json",
        run / "run.json",
        *(run / "commits").iterdir(),
        *(run / "labels").glob("*.json"),
    ]:
        record = json.loads(file.read_bytes())
        said = record.pop("checksum")
        assert xxhash.xxh3_64_hexdigest(canonical(record)) == said
    for file in (run / "commits").iterdir():
        commit = json.loads(file.read_bytes())
        content = (run / "shards" / commit["file"]).read_bytes()
        rest, end, spans = xxhash.xxh3_64(), 0, []
        assert len(content) == commit["size"]
        for name, site in commit["sites"].items():
            shape, width = site["layout"]["shape"], {"float32": 4}.get(site["layout"]["dtype"], 2)
            blocks = shape[0] if site["layout"]["dims"][0] in ("layer", "depth") else 1
            size = int(np.prod(shape)) * width // blocks
            starts = [site["offset"] + number * size for number in range(blocks)]
            found = [xxhash.xxh3_64_hexdigest(content[start : start + size]) for start in starts]
            assert "".join(found) == commit["checksums"][name]
            spans.append((site["offset"], site["offset"] + blocks * size))
        for name, label in commit["labels"].items():
            size = int(np.prod(label["shape"])) * np.dtype(label["dtype"]).itemsize
            span = (label["offset"], label["offset"] + size)
            found = xxhash.xxh3_64_hexdigest(content[slice(*span)])
            assert found == commit["label_checksums"][name]
            spans.append(span)
        for start, until in sorted(spans):
            rest.update(content[end:start])
            end = until
        rest.update(content[end : commit["hdf5"]])
        assert rest.hexdigest() == commit["metadata_checksum"]
        sealed = file.read_bytes()
        assert content[commit["hdf5"] :] == sealed + b"%012d actlas-commit\n" % len(sealed)


def test_golden_units_in_one_file_are_read_as_they_were_written():
    path, content = FOLDER / "version-1-packed", packed()
    run = Store(path).run(NAME)
    assert len({commit.file for commit in run.commits}) == 1
    assert [problem for checked in verify(run) for problem in checked.problems] == []
    check_reading(path, run, content.values, content.labels.text)


def test_a_golden_variant_is_read_as_it_was_written():
    path, own, shared = FOLDER / "version-1-variant", after().values, before().values
    run = Store(path).run(NAME)
    assert [problem for checked in verify(run) for problem in checked.problems] == []
    firsts = {"resid": FIRST["depth"], "q": FIRST["layer"], "nll": 0}
    expected = {
        site: np.concatenate([shared[site][:first], own[site][first:]])
        for site, first in firsts.items()
    }
    check_reading(path, run, expected, after().labels.text)


def check_reading(path, run, expected, texts):
    read_site, dataset = runpy.run_path(str(READER))["read_site"], run.dataset()
    for site, values in expected.items():
        np.testing.assert_array_equal(dataset[site].values, values)
        found, found_texts = read_site(path, NAME, site)
        np.testing.assert_array_equal(found, values)
        assert found_texts == list(texts)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"], indirect=False)
def test_other_programs_read_golden_shards(dtype):
    for shard in (FOLDER / f"version-1-{dtype}").glob("runs/*/shards/*.h5"):
        with xr.open_dataset(shard, engine="h5netcdf") as dataset:
            assert dataset.sizes["token"] == dataset["row_size"].values.sum()

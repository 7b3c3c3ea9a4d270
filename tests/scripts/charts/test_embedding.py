"""What draws charts is what was recorded, and data gets into a page once and as text."""

import hashlib
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from actlas.analysis.charts import Records
from actlas.scripts.charts import embedding
from actlas.scripts.charts.embedding import Datasets, as_json
from actlas.store.errors import ActlasError

FOLDER = Path(embedding.__file__).parent
DEV = FOLDER.parent / "dev/runtime"


def test_the_script_is_the_one_that_was_built():
    record = json.loads((FOLDER / "vega.json").read_text())
    content = (FOLDER / embedding.RUNTIME).read_bytes()
    assert hashlib.sha256(content).hexdigest() == record["sha256"]
    assert b"</script" not in content.lower()
    assert b"<!--" not in content
    pinned = json.loads((DEV / "package.json").read_text())["dependencies"]
    locked = json.loads((DEV / "package-lock.json").read_text())["packages"]
    for name in ("vega-lite", "vega-interpreter"):
        assert record["packages"][name] == pinned[name] == locked[f"node_modules/{name}"]["version"]
    licences = (FOLDER / "vega.LICENSES.txt").read_text()
    assert all(f"{name} {version}" in licences for name, version in record["packages"].items())


def test_data_that_charts_share_is_kept_once():
    rows = Records({"value": xr.DataArray(np.arange(6.0).reshape(2, 3), dims=("a", "b"))})
    page = Datasets()
    first = json.loads(page.embed({"mark": "bar", "datasets": {"rows": rows}}))
    second = json.loads(
        page.embed(
            {
                "mark": "line",
                "datasets": {
                    "others": Records(
                        {"value": xr.DataArray(np.arange(6.0).reshape(2, 3), dims=("a", "b"))}
                    )
                },
            }
        )
    )
    assert first["datasets"]["rows"] == second["datasets"]["others"]
    assert len(page.texts) == 1


def unpacked(packed):
    """Return the rows of packed arrays, as the page's script does."""
    rows, names = [], list(packed["dims"])
    for places in product(*(range(len(packed["dims"][name])) for name in names)):
        at = dict(zip(names, places, strict=True))
        row = {name: packed["dims"][name][at[name]] for name in names}
        found = False
        for name, (dims, flat) in packed["values"].items():
            place = 0
            for dim in dims:
                place = place * len(packed["dims"][dim]) + at[dim]
            row[name] = flat[place]
            found = found or flat[place] is not None
        if found:
            rows.append(row)
    return rows


def test_packed_arrays_are_the_rows():
    each = xr.DataArray(np.array([[1, np.nan, 3], [4, 5, np.inf]]), dims=("a", "b"))
    along = xr.DataArray(["x", "y\n"], dims="a")
    rows = Records({"value": each.assign_coords(b=[0.1, 2.0, 30.0]), "word": along})
    assert unpacked(rows.packed) == rows
    assert rows[3] == {"a": 1, "b": 0.1, "value": 4, "word": "y�"}
    only = Records({"value": each})
    assert len(only) == 4
    assert unpacked(only.packed) == only


@pytest.mark.parametrize("content", [float("nan"), {1, 2}, object()])
def test_what_is_no_json_is_refused(content):
    with pytest.raises(ActlasError, match="a chart has what JSON has not"):
        as_json({"a": content})
    with pytest.raises(ActlasError, match="expected a Vega-Lite dictionary"):
        Datasets().embed("no")

"""``Run.to_rsatoolbox``: rows and labels as rsatoolbox has them."""

import sys

import numpy as np
import pytest

from actlas.store import UsageError


def test_rows_and_labels(stored):
    pytest.importorskip("rsatoolbox", reason="needs rsatoolbox")
    view = stored.dataset("q")
    later = view["position"] > 0
    found = stored.to_rsatoolbox("q", 1, where=later)
    wanted = view["q"].isel(layer=1, token=np.flatnonzero(later))
    np.testing.assert_array_equal(found.measurements, wanted.values.reshape(len(wanted), -1))
    assert found.obs_descriptors["token"] == np.flatnonzero(later).tolist()
    np.testing.assert_array_equal(found.obs_descriptors["year"], wanted["year"])
    assert found.descriptors["run"] == stored.id


def test_the_library_is_named(stored, monkeypatch):
    monkeypatch.setitem(sys.modules, "rsatoolbox.data", None)
    with pytest.raises(UsageError, match="pip install rsatoolbox"):
        stored.to_rsatoolbox("q", 1)

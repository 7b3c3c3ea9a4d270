"""An export of the stored run."""

import pytest

from actlas.store.runs.exported import Exported
from actlas.store.writing.export import export


@pytest.fixture
def exported(stored, tmp_path) -> Exported:
    return export(stored, tmp_path / "her.h5")[0]

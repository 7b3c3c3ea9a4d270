"""Every family against its oracle: all sites from padded batches, and both spellings."""

import json
import warnings

import pytest

from actlas.pipeline.extraction.planning import make_plan
from actlas.pipeline.models.folder import resolve
from actlas.store import UsageError
from actlas.store.maintenance.verify import verify
from tests.families.tiny import save_tiny, spelled_5
from tests.families.tried import READ, REFUSED, TOLERANCE, Tried, errors

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("name", READ)
def test_every_site_is_the_oracles(tried, name):
    model = tried(name)
    for attention in model.attentions:
        run = model.extracted(model.plan(attention=attention))
        found = errors(run, model.expected())
        assert set(found) == set(model.sites(attention))
        assert max(found.values()) < TOLERANCE, (attention, found)
        assert not any(checked.problems for checked in verify(run))


@pytest.mark.parametrize("name", READ)
def test_both_spellings_are_one_run(tried, tmp_path, name):
    """A folder of transformers 5 and one of 4: what is computed has one id."""
    model = tried(name)
    other = resolve(str(respelled(model.folder, tmp_path / "other")))
    assert model.model.effective == other.effective
    plan = model.plan(("resid",))
    again = make_plan(model.store, other, model.tokens, "test", plan.options)
    assert again.run_id == plan.run_id


@pytest.mark.slow
@pytest.mark.parametrize("name", READ)
def test_both_spellings_are_the_same_bytes(tried, tmp_path, name):
    one = tried(name)
    other = Tried(tmp_path, name)
    respelled(other.folder, tmp_path / "other")
    other.model = resolve(str(tmp_path / "other"))
    ours, theirs = one.baseline, other.baseline
    assert ours.id == theirs.id
    for mine, its in zip(ours.commits, theirs.commits, strict=True):
        checksums = [{s: c.sites[s].checksums for s in c.sites} for c in (mine, its)]
        assert checksums[0] == checksums[1]


def respelled(folder, other):
    """Return a folder with the same files, config.json as transformers 5 writes it."""
    other.mkdir()
    for path in folder.iterdir():
        if path.name != "config.json":
            (other / path.name).symlink_to(path)
    config = json.loads((folder / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(spelled_5(config)))
    return other


def test_angles_by_the_longest_sentence_are_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = save_tiny(tmp_path, REFUSED)
    with pytest.raises(UsageError, match=r"type 'longrope' depend on the longest sentence"):
        resolve(str(folder)).geometry  # noqa: B018  # what is looked up raises

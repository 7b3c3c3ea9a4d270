"""The study of the demo on other families: all stages that apply, a line for what does not."""

import re
import warnings
from pathlib import Path

import pytest
import xarray as xr

import actlas
from tests import commands
from tests.families.tiny import save_tiny

pytestmark = pytest.mark.slow
DEMO = Path(actlas.__file__).resolve().parents[1] / "scripts/studies/demo.toml"
HER = "Mary lost her key.\nTom gave her a coat.\nWe saw her walk.\nNobody knew her name.\n"
#: the demo has eight layers, and sentences longer than a tiny model takes
SMALLER = {
    'name = "demo"': 'name = "model"',
    '"demo:her.txt"': '"her.txt"',
    '"demo:english.txt"': '"her.txt"',
    'pair = "6,7"': 'pair = "1,2"',
    "layer=4,head=2": "layer=1,head=2",
    "site=mlp_post,layer=3": "site=mlp_post,layer=1",
    "skip:layer=3": "skip:layer=1",
    "scale:layer=5": "scale:layer=0",
}
#: of an encoder: sums have norms behind them, and there is no loss
RECONSTRUCT = '[analyses.reconstruct]\nrun = "her"\n'
FOR_BERT = {
    RECONSTRUCT: RECONSTRUCT + "depths_only = true\n",
    'sites = ["resid", "nll"]': 'sites = ["resid"]',
}


def study(folder, name, *changes):
    """Write the model and its study; return the text of the study."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_tiny(folder / "model", name)
    (folder / "her.txt").write_text(HER)
    text = DEMO.read_text()
    for change in (SMALLER, *changes):
        for old, new in change.items():
            assert old in text, old
            text = text.replace(old, new)
    (folder / "small.toml").write_text(text)
    return text


def stages(text):
    return re.findall(r"^\[analyses\.(.+)\]$", text, re.MULTILINE)


@pytest.mark.parametrize("name", ["gpt_neox", "llama", "gemma2"])
def test_every_stage_of_the_demo(tmp_path, name):
    wanted = stages(study(tmp_path, name))
    assert len(wanted) >= 8
    done = commands.run(tmp_path, "study", "run", "small.toml")
    assert done.returncode == 0, done.stderr
    assert "holds to the rounding of float32 at every layer" in " ".join(done.stdout.split())
    results = tmp_path / "actlas-small/results"
    assert sorted(path.name for path in results.iterdir() if path.is_dir()) == sorted(wanted)
    for path in results.glob("*/*.nc"):
        with xr.open_dataset(path, engine="h5netcdf") as result:
            assert result.sizes
    assert list((tmp_path / "actlas-small").rglob("report.html"))


def test_every_stage_that_an_encoder_has(tmp_path):
    text = study(tmp_path, "bert", FOR_BERT, {'[analyses.scan]\nrun = "english"\n': ""})
    done = commands.run(tmp_path, "study", "run", "small.toml")
    assert done.returncode == 0, done.stderr
    results = tmp_path / "actlas-small/results"
    assert sorted(path.name for path in results.iterdir() if path.is_dir()) == sorted(stages(text))


def test_what_an_encoder_lacks_is_one_line(tmp_path):
    study(tmp_path, "bert")
    done = commands.run(tmp_path, "study", "run", "small.toml", "--quiet")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "bert has no site nll: it sees both sides of a token" in done.stderr

"""A base install, without what runs a model, answers from a store: every study of its words.

The environment has what setup.cfg asks for and nothing else: links to the distributions of the one
that runs the tests, and the package as it would be installed.
"""

import configparser
import json
import shutil
import subprocess
import sysconfig
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests import commands

ROOT = Path(__file__).parents[3]
OF = ("english", "--store", "store", "--out", "results")
ANSWER = ("--answer", "her", "--against", "him")
MODEL_LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "huggingface_hub")

pytestmark = pytest.mark.slow


def required(setup):
    """Return the distributions that an install without extras brings, each once."""
    waiting = [
        Requirement(line) for line in setup["options"]["install_requires"].split("\n") if line
    ]
    found, extras = {}, set()
    while waiting:
        one = waiting.pop()
        new = {(one.name, extra) for extra in ("", *one.extras)} - extras
        extras |= new
        found[one.name] = distribution(one.name)
        for text in (found[one.name].requires or []) if new else []:
            other = Requirement(text)
            if any(other.marker is None or other.marker.evaluate({"extra": e}) for _, e in new):
                waiting.append(other)
    return list(found.values())


def link(of, site):
    """Link what lies at the top level of a distribution."""
    for file in of.files:
        top = file.parts[0]
        if top not in ("..", "__pycache__") and not (site / top).exists():
            (site / top).symlink_to(Path(of.locate_file(top)).resolve())


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Python of an environment with the base install."""
    place = tmp_path_factory.mktemp("base") / "venv"
    venv.create(place, with_pip=False)
    site = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(place)}))
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    for each in required(setup):
        link(each, site)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "actlas", site / "actlas", ignore=ignored)
    about = site / "actlas-0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: actlas\nVersion: 0\n")
    points = setup["options.entry_points"]
    (about / "entry_points.txt").write_text("\n".join(f"[{n}]{points[n]}" for n in points))
    return place / "bin" / "python"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store made where torch is."""
    root = tmp_path_factory.mktemp("english")
    text, to = ROOT / "pipeline/texts/english.txt", ("--store", "store", "--quiet")
    sites = [word for site in ("resid", "q", "k", "v", "z") for word in ("--site", site)]
    more = [
        word for site in ("attn_out", "mlp_post", "mlp_out", "nll") for word in ("--site", site)
    ]
    edit = ("--edit", "zero:site=z,layer=2,head=2|3", "--site", "resid", "--site", "nll")
    for words in (
        ("extract", text, *to, "--name", "english", *sites, *more),
        ("sweep", text, *to, *edit),
        ("readout", "demo", "--store", "store", "--heads", "--neurons"),
    ):
        done = commands.run(root, *words)
        assert done.returncode == 0, done.stderr
    return root


def asked(python, folder, *words):
    """Run Python there; return what it says."""
    environment = {"MPLCONFIGDIR": str(folder / "cache"), "XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run(
        [python, "-I", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_runs_a_model_is_not_there(python, folder):
    code = "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n)])"
    assert asked(python, folder, "-c", code, *MODEL_LIBRARIES) == "[]\n"
    where = asked(python, folder, "-c", "import actlas.scripts.cli as cli; print(cli.__file__)")
    assert Path(where.strip()).is_relative_to(python.parents[1])


@pytest.mark.parametrize(
    "words",
    [
        ("lens", *OF, "--answer", "her"),
        ("attribute", *OF, *ANSWER, "--heads", "--neurons", "3"),
        ("heads", *OF, "--sentence", "3"),
        ("triangulate", *OF, *ANSWER),
    ],
    ids=lambda words: words[0],
)
def test_a_study(python, folder, words):
    record = json.loads(asked(python, folder, "-m", "actlas.scripts", *words, "--json"))
    assert record["findings"]
    assert record.get("holds", True)
    assert all((folder / file).is_file() for file in record["files"])


def test_derived_sites_and_the_report(python, folder):
    code = (
        "import actlas\n"
        "run = actlas.open('store').run('english')\n"
        "dataset = run.dataset(('pattern', 'resid_mid', 'head_out')).isel(token=slice(0, 9))\n"
        "assert all(dataset[site].attrs['derived'] for site in dataset)\n"
        "sums = dataset['pattern'].sum('key').values\n"
        "print(abs(sums - 1).max() < 1e-5, bool(dataset.notnull().all().to_array().all()))\n"
    )
    assert asked(python, folder, "-c", code) == "True True\n"
    asked(python, folder, "-m", "actlas.scripts", "lens", *OF)
    asked(python, folder, "-m", "actlas.scripts", "report", "results", "--store", "store")
    page = (folder / "results" / "report.html").read_text()
    assert "What would the model say at each depth?" in page

"""Commands on a store behind a web server: those that read do, those that write refuse."""

import pytest

from actlas.store.remote.path import RemotePath, is_url
from tests.answers import loaded
from tests.web import serving

pytest.importorskip("aiohttp", reason="needs the extra remote")


@pytest.fixture
def url(actlas, store, tmp_path):
    done = actlas("index", "--store", "store")
    assert (done.returncode, done.stderr) == (0, "")
    assert "index.json: " in done.stdout
    with serving(tmp_path) as server:
        yield f"{server.url}/store"


@pytest.mark.slow
def test_commands_that_read(actlas, url, store, tmp_path):
    for words in (["ls"], ["show", "it"], ["table", "it"]):
        local, remote = (actlas(*words, "--store", place) for place in ("store", url))
        assert (remote.returncode, remote.stderr) == (0, "")
        assert remote.stdout == local.stdout
    for out, place in (("here", "store"), ("there", url)):
        words = ["norms", "it", "--store", place, "--out", out]
        assert actlas(*words).returncode == 0
    assert loaded(tmp_path / "there", "norms").equals(loaded(tmp_path / "here", "norms"))
    done = actlas("downstream", "it.*", "--store", url)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)  # there is no variant
    assert url not in done.stderr.replace("--store", "")
    assert actlas("export", "it", "it.h5", "--store", url, "--site", "q").returncode == 0
    done = actlas("show", f"{url.removesuffix('/store')}/it.h5")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ["extract", "her.txt"],
        ["sweep", "her.txt", "--edit", "skip:layer=1"],
        ["relabel", "it", "her.txt"],
        ["rename", "it", "other"],
        ["rm", "it", "--yes"],
        ["gc"],
        ["pack", "it"],
        ["index"],
        ["verify"],
        ["du"],
    ],
)
def test_commands_that_write_refuse(actlas, tmp_path, words):
    (tmp_path / "her.txt").write_text("her\n")
    before = sorted(tmp_path.rglob("*"))
    done = actlas(*words, "--store", "https://127.0.0.1:9/store")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "needs the store on a disk, got https://127.0.0.1:9/store" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_url_is_no_place_to_write_to(actlas, store, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    for words in (["export", "it", "https://h/it.h5"], ["norms", "it", "--out", "s3://b/out"]):
        done = actlas(*words, "--store", "store")
        assert done.returncode in (1, 2)
        assert len(done.stderr.splitlines()) == 1
        assert "is only read" in done.stderr or "is not a directory" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://host/a", True),
        ("s3://bucket", True),
        ("http://h:1/", True),
        ("file:///x", False),
        ("https:/x", False),
        ("a/https://b", False),
        ("mine", False),
    ],
)
def test_what_a_url_is(text, found):
    assert is_url(text) is found


def test_a_remote_path_walks_as_others_do():
    path = RemotePath("/https://host:80/store") / "runs" / "a.h5"
    assert str(path) == "https://host:80/store/runs/a.h5"
    assert (path.name, path.suffix, str(path.parent)) == (
        "a.h5",
        ".h5",
        "https://host:80/store/runs",
    )
    assert isinstance(path.parent, RemotePath)
    assert path.parents[1] == RemotePath("/https://host:80/store")

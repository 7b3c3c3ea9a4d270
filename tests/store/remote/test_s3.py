"""A store on S3, read from a local server of ``moto``, started here on a free port."""

import json
import urllib.request
from pathlib import Path

import pytest
import xarray as xr

from actlas.store import DamagedStore, Store, StoreError, UsageError
from actlas.store.remote import cache, objects
from actlas.store.runs.exported import Exported
from actlas.store.writing.export import export
from tests.store.making import flip

pytest.importorskip("s3fs", reason="needs the extra remote")
moto = pytest.importorskip("moto.server", reason="needs moto[server]")
boto3 = pytest.importorskip("boto3", reason="needs moto[server]")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
REGION = "us-east-1"


@pytest.fixture(scope="module")
def endpoint():
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint, stored, tmp_path, monkeypatch):
    """A new bucket with the store and an export of its run."""
    fsspec = pytest.importorskip("fsspec")
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cache, "_held", {})
    fsspec.filesystem("s3").clear_instance_cache()
    urllib.request.urlopen(
        urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")
    ).close()
    client = boto3.client("s3", region_name=REGION, endpoint_url=endpoint)
    client.create_bucket(Bucket="atlas")
    root = stored.folder.parents[1]
    for path in (each for each in root.rglob("*") if each.is_file()):
        client.put_object(
            Bucket="atlas", Key=f"mine/{path.relative_to(root)}", Body=path.read_bytes()
        )
    export(stored, tmp_path / "her.h5")
    client.put_object(Bucket="atlas", Key="her.h5", Body=(tmp_path / "her.h5").read_bytes())
    objects.forget("s3://")
    return client


@pytest.mark.slow
def test_a_store_and_an_export_are_read_as_on_a_disk(bucket, stored):
    store = Store("s3://atlas/mine")
    assert store.names() == {"her": stored.id}
    xr.testing.assert_identical(store.run("her").dataset().load(), stored.dataset().load())
    exported = Exported("s3://atlas/her.h5")
    xr.testing.assert_equal(exported.dataset("q").load(), stored.dataset("q").load())


def key_of(stored):
    path = Path(stored.path(stored.records[0]))
    return f"mine/{path.relative_to(stored.folder.parents[1])}"


@pytest.mark.slow
def test_what_changes_under_way_or_is_missing_is_an_error(bucket, stored, tmp_path):
    view = Store("s3://atlas/mine").run("her").dataset("q")["q"]
    view.isel(layer=0).load()
    content = stored.path(stored.records[0]).read_bytes()
    damaged = tmp_path / "damaged"
    damaged.write_bytes(content)
    flip(damaged, stored.records[0].sites["q"].place(1))
    bucket.put_object(Bucket="atlas", Key=key_of(stored), Body=damaged.read_bytes())
    with pytest.raises(StoreError, match="changed while it was read"):
        view.isel(layer=1).load()
    view = Store("s3://atlas/mine").run("her").dataset("q", check=False)["q"]
    with pytest.raises(DamagedStore, match=r"q\[1\] was altered"):
        view.isel(layer=1).load()
    bucket.delete_object(Bucket="atlas", Key=key_of(stored))
    objects.forget("s3://")
    with pytest.raises(DamagedStore, match="is not there"):
        view.isel(layer=2).load()


def test_no_store_and_no_credentials_are_one_line(bucket, monkeypatch):
    with pytest.raises(UsageError, match="s3://atlas/other is not there"):
        Store("s3://atlas/other")
    with pytest.raises(UsageError, match="is not there: give a file that `actlas export` made"):
        Exported("s3://atlas/none.h5")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    import fsspec

    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(StoreError, match="no credentials: set AWS_ACCESS_KEY_ID") as caught:
        Store("s3://atlas/mine")
    assert "\n" not in str(caught.value)
    assert json.dumps(str(caught.value))

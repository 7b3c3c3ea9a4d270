"""What changes a store under checksums that hold."""

import os
from dataclasses import replace

import h5py

from actlas.store.format.digest import metadata_checksum_of
from actlas.store.format.schema import data_spans_of, seal
from actlas.store.runs.commits import read_commit, with_tail
from tests.store.making import shards


def commit_paths(run):
    return sorted((run.folder / "commits").iterdir())


def reseal(path, record):
    path.unlink()
    path.write_bytes(seal(record))


def altered(run, change):
    """Let ``change`` alter the HDF5 file of a shard.

    Its commit agrees with every byte of it then.
    """
    path, (shard, *_) = commit_paths(run)[0], shards(run)
    shard.chmod(0o644)
    commit = read_commit(path)
    os.truncate(shard, commit.hdf5)
    with h5py.File(shard, "r+", libver=("v108", "v114")) as file:
        change(file)
    size = shard.stat().st_size
    commit = replace(commit, size=size, hdf5=0)
    with shard.open("rb") as file:
        rest = metadata_checksum_of(file.fileno(), size, data_spans_of(commit.sites, commit.labels))
    commit, tail = with_tail(replace(commit, metadata_checksum=rest))
    with shard.open("ab") as file:
        file.write(tail)
    reseal(path, commit.to_json())
    run.refresh()
    return shard

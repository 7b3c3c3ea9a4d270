import os
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.store.format.digest import span_checksum
from actlas.store.format.schema import checksum
from actlas.store.maintenance.verify import verify
from tests.store.making import flip, problems, shards


def commits(run):
    return sorted((run.folder / "commits").iterdir())


def regions(commit) -> dict[str, tuple[int, int]]:
    """Return what a shard consists of, as spans of bytes."""
    sites = {
        name: (site.offset, site.offset + site.layout.nbytes) for name, site in commit.sites.items()
    }
    labels = {name: (label.offset, label.offset + 1) for name, label in commit.labels.items()}
    return {
        "HDF5's first record": (0, 48),
        "anything": (0, commit.size),
        "the end": (commit.size - 1, commit.size),
        **sites,
        **labels,
    }


def test_a_sound_run_has_no_problem_and_is_read_whole(stored):
    checked = list(verify(stored))
    assert [item.problems for item in checked] == [()] * 3
    assert (
        sum(item.nbytes for item in checked)
        == stored.nbytes
        == sum(path.stat().st_size for path in shards(stored))
    )
    assert [item.commit for item in checked] == [path.name for path in commits(stored)]


@pytest.mark.slow
@settings(max_examples=80)
@given(data=st.data())
def test_any_flipped_bit_of_a_shard_is_found(data, stored):
    commit = stored.commits[data.draw(st.integers(0, 2))]
    region = data.draw(st.sampled_from(sorted(regions(commit))))
    start, end = regions(commit)[region]
    position, bit = data.draw(st.integers(start, end - 1)), data.draw(st.integers(0, 7))
    path = stored.path(commit)
    flip(path, position, bit)
    try:
        (found,) = problems(stored)
    finally:
        flip(path, position, bit)
        path.chmod(0o444)
    inside = [
        name
        for name, site in commit.sites.items()
        if 0 <= position - site.offset < site.layout.nbytes
    ]
    inside += [
        f"label {name} was"
        for name, label in commit.labels.items()
        if 0 <= position - label.offset < label.nbytes
    ]
    if position >= commit.record.hdf5:
        assert (
            found == f"{path}: its own copy of its record was altered: "
            "`actlas verify --repair` writes it again"
        )
    else:
        assert found.startswith(f"{path}: {inside[0] if inside else 'HDF5 records were altered'}")
        remedy = (
            f"remove {commits(stored)[commit.unit.number]} and extract again"
            if inside
            else "writes the file again"
        )
        assert remedy in found
    assert problems(stored) == []


def test_the_altered_block_is_named(copied):
    site = copied.commits[1].sites["q"]
    flip(shards(copied)[1], site.offset + 2 * site.layout.block_bytes)
    assert problems(copied)[0].startswith(f"{shards(copied)[1]}: q[layer 2] was altered")


@pytest.mark.parametrize("keep", [0, 1, 4096, -1])
def test_a_cut_shard_is_found(keep, copied):
    path, size = shards(copied)[0], copied.commits[0].size
    path.chmod(0o644)
    os.truncate(path, keep % size)
    assert [problem.split(":")[0] for problem in problems(copied)] == [
        f"{path} has {keep % size} bytes, expected {size}"
    ]


def test_a_missing_or_unreadable_shard_is_found(copied):
    path = shards(copied)[2]
    path.unlink()
    assert problems(copied)[0].startswith(f"{path} cannot be read (No such file or directory)")
    path.symlink_to(path.name)
    assert problems(copied)[0].startswith(
        f"{path} is a link or no file at all, expected a file; remove"
    )


def test_swapped_commits_are_found(copied):
    first, second, _ = commits(copied)
    first.rename(first.with_suffix(".aside"))
    second.rename(first)
    first.with_suffix(".aside").rename(second)
    assert [problem.split(" was renamed")[0] for problem in problems(copied)] == [
        str(first),
        str(second),
    ]


def test_a_renamed_commit_is_found(copied):
    path = commits(copied)[0]
    path.rename(path.with_name("00000000-ffffffff.json"))
    (found,) = problems(copied)
    assert found.endswith(f"its content belongs under {path.name}")


def test_swapped_shards_are_found(copied):
    first, second, _ = shards(copied)
    first.rename(first.with_suffix(".aside"))
    second.rename(first)
    first.with_suffix(".aside").rename(second)
    assert {problem.split(".h5")[0] for problem in problems(copied)} == {
        str(path.with_suffix("")) for path in (first, second)
    }


def test_an_altered_commit_does_not_hide_the_others(copied):
    first, second, _ = commits(copied)
    last = shards(copied)[2]
    flip(first, 40)
    second.unlink()
    flip(last, 8)
    found = problems(copied)
    assert str(first) in found[0]
    assert "HDF5 records were altered" in found[1]
    assert len(found) == 2


def test_a_commit_of_another_run_is_found(copied):
    copied.id = "0" * 16
    assert len([problem for problem in problems(copied) if "belongs to run" in problem]) == 3
    copied.units = copied.units[1:]
    assert "is of unit 0 as no plan of this run has it" in problems(copied)[1]


@given(content=st.binary(max_size=60), cuts=st.lists(st.integers(0, 60)))
def test_a_checksum_of_spans_is_that_of_their_bytes(content, cuts, tmp_path_factory):
    path = tmp_path_factory.mktemp("spans") / "file"
    path.write_bytes(content)
    edges = sorted(min(cut, len(content)) for cut in [0, *cuts, 60])
    with path.open("rb") as file:
        assert span_checksum(file.fileno(), *pairwise(edges)) == checksum(content)
        spans = list(pairwise(edges))[::2]
        assert span_checksum(file.fileno(), *spans) == checksum(
            b"".join(content[a:b] for a, b in spans)
        )

"""Read one site of a run from an actlas store with h5py and json, and nothing of actlas: ``read_store.py STORE RUN SITE``."""

import json
import sys
from pathlib import Path

import h5py
import numpy as np


def read_site(store: Path, run: str, site: str) -> tuple[np.ndarray, list[str]]:
    """Return the float32 activations of all tokens, (layer or depth, token, …), and the texts of the sentences."""
    name = store / "names" / run
    folder = store / "runs" / (name.read_text().strip() if name.exists() else run)
    units = [unit[0] for unit in json.loads((folder / "run.json").read_bytes())["units"]]
    parts, texts = zip(*[read_unit(folder, number, site) for number in units], strict=True)
    axis = 0 if site in ("final_norm", "nll") else 1  # where token is
    return np.concatenate(parts, axis), [text for unit in texts for text in unit]


def read_unit(folder: Path, number: int, site: str) -> tuple[np.ndarray, list[str]]:
    """Return the same of one unit of the run in ``folder``."""
    commits = [json.loads(path.read_bytes()) for path in sorted((folder / "commits").glob(f"{number:08d}-*.json"))]
    holding = [commit for commit in commits if site in commit["sites"] or site in commit.get("shared", {})]
    if not holding:
        raise ValueError(f"run {folder.name} lacks {site} in unit {number}")
    commit, blocks = holding[0], []
    if site in commit.get("shared", {}):  # a variant begins with blocks of its baseline
        shared = commit["shared"][site]
        blocks.append(read_unit(folder.parent / shared["run"], number, site)[0][: len(shared["checksums"])])
    path = folder / "shards" / commit["file"]
    if path.stat().st_size != commit["size"]:
        raise ValueError(f"{path} is not as it was committed")
    with h5py.File(path, "r") as shard:
        if site in commit["sites"]:
            record = commit["sites"][site]
            blocks.append(rows(shard[site], record["offset"], record["layout"]).astype(np.float32))
        texts = rows(shard["text"], commit["labels"]["text"]["offset"], commit["labels"]["text"])
    return np.concatenate(blocks), [b"".join(row).decode() for row in texts]


def rows(variable: h5py.Dataset, offset: int, record: dict) -> np.ndarray:
    """Return the rows of one unit: a file may hold several, one after the other."""
    axis = next(number for number, dim in enumerate(record["dims"]) if dim in ("token", "sentence"))
    row_bytes = variable.id.get_storage_size() // variable.size * int(np.prod(variable.shape[axis + 1 :]))
    first = (offset - variable.id.get_offset()) // row_bytes
    return variable[(slice(None),) * axis + (slice(first, first + record["shape"][axis]),)]


if __name__ == "__main__":
    values, sentences = read_site(Path(sys.argv[1]), *sys.argv[2:])
    print(values.dtype, values.shape, float(values.mean()), sentences[:3])

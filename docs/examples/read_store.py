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
    commits = [json.loads(path.read_bytes()) for path in sorted((folder / "commits").glob("*.json"))]
    parts, texts, axis = [], [], 0
    for number, *_ in json.loads((folder / "run.json").read_bytes())["units"]:
        holding = [commit for commit in commits if commit["unit"]["number"] == number and site in commit["sites"]]
        if not holding:
            raise ValueError(f"run {run} lacks {site} in unit {number}")
        path = folder / "shards" / holding[0]["file"]
        if path.stat().st_size != holding[0]["size"]:
            raise ValueError(f"{path} is not as it was committed")
        with h5py.File(path, "r") as shard:
            parts.append(shard[site].astype(np.float32)[()])
            texts += [b"".join(row).decode() for row in shard["text"][()]]
        axis = holding[0]["sites"][site]["layout"]["dims"].index("token")
    return np.concatenate(parts, axis), texts


if __name__ == "__main__":
    values, sentences = read_site(Path(sys.argv[1]), *sys.argv[2:])
    print(values.dtype, values.shape, float(values.mean()), sentences[:3])

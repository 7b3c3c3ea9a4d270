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
    holding = {}  # unit → its commit, first token and first sentence in the file
    for path in sorted((folder / "commits").glob("*.json")):
        commit = json.loads(path.read_bytes())
        holding |= {commit["unit"]["number"]: (commit, 0, 0)} if site in commit["sites"] else {}
    for path in sorted((folder / "joined").glob("*.json")):  # the last counts most, and more than commits
        record, token, sentence = json.loads(path.read_bytes()), 0, 0
        for index, (number, _, sentences, tokens) in enumerate(record["units"]):
            if site in record["sites"] and index not in record["gone"]:
                holding[number] = (record, token, sentence)
            token, sentence = token + tokens, sentence + sentences
    parts, texts, axis = [], [], 0
    for number, _, sentences, tokens in json.loads((folder / "run.json").read_bytes())["units"]:
        if number not in holding:
            raise ValueError(f"run {run} lacks {site} in unit {number}")
        record, token, sentence = holding[number]
        path = folder / "shards" / record["file"]
        if path.stat().st_size != record["size"]:
            raise ValueError(f"{path} is not as it was committed")
        axis = record["sites"][site]["layout"]["dims"].index("token")
        with h5py.File(path, "r") as shard:
            rows = (slice(None),) * axis + (slice(token, token + tokens),)
            parts.append(shard[site].astype(np.float32)[rows])
            texts += [b"".join(row).decode() for row in shard["text"][sentence : sentence + sentences]]
    return np.concatenate(parts, axis), texts


if __name__ == "__main__":
    values, sentences = read_site(Path(sys.argv[1]), *sys.argv[2:])
    print(values.dtype, values.shape, float(values.mean()), sentences[:3])

"""Read one site of a run with h5py and json: ``read_store.py STORE RUN SITE`` prints it."""

import json
import sys
from functools import cache
from pathlib import Path

import h5py
import numpy as np

WITHOUT_LAYERS = ("final_norm", "nll")


def read_site(store: Path, run: str, site: str) -> tuple[np.ndarray, list[str]]:
    """Return float32 activations, (layer or depth, token, …), and the texts of the sentences."""
    name = store / "names" / run
    folder = store / "runs" / (json.loads(name.read_bytes())["run"] if name.exists() else run)
    units = json.loads((folder / "run.json").read_bytes())["units"]
    parts, texts = zip(*[read_unit(folder, unit, site) for unit in units], strict=True)
    numbers = sorted(set.intersection(*map(set, parts)))  # layers or depths that all units have
    blocks = [np.concatenate([part[number] for part in parts]) for number in numbers]
    values = blocks[0] if site in WITHOUT_LAYERS else np.stack(blocks)
    return values, [text for unit in texts for text in unit]


def read_unit(folder: Path, unit: list[int], site: str) -> tuple[dict[int, np.ndarray], list[str]]:
    """Return the same of one unit of the run in ``folder``, by layer or depth.

    unit: ``[number, first sentence, sentences, tokens]``.
    """
    if unit[0] not in find(folder, site):
        raise ValueError(f"run {folder.name} lacks {site} in unit {unit[0]}")
    blocks: dict[int, np.ndarray] = {}
    for record, shared, token, sentence in find(folder, site)[unit[0]]:
        path = folder / "shards" / record["file"]
        if path.stat().st_size != record["size"]:
            raise ValueError(f"{path} is not as it was committed")
        with h5py.File(path, "r") as shard:
            if site in record["sites"]:
                own = rows(shard[site], record["sites"][site], token, unit[3]).astype(np.float32)
                own = own[None] if site in WITHOUT_LAYERS else own
                numbers = record["sites"][site]["layout"]["numbers"]
                blocks = dict(zip(numbers, own, strict=True)) | blocks
            texts = rows(shard["sentence_text"], record["labels"]["text"], sentence, unit[2])
        if site in shared:  # a variant begins with blocks of its baseline
            below = read_unit(folder.parent / shared[site]["run"], unit, site)[0]
            blocks |= {number: below[number] for number in shared[site]["numbers"]}
    return blocks, [b"".join(row).decode() for row in texts]


@cache
def find(folder: Path, site: str) -> dict[int, list[tuple[dict, dict, int, int]]]:
    """Return unit number → of each of its records: it, what it shares, first token and sentence.

    Units without the site are left out; tokens and sentences are counted in the file. Records that
    count more come first: several may have some layers each.
    """
    found: dict[int, list[tuple[dict, dict, int, int]]] = {}
    single, packed = (sorted((folder / part).glob("*.json")) for part in ("commits", "packed"))
    for path in [*single, *packed]:  # the last counts most, and packed ones more than others
        record, token, sentence = json.loads(path.read_bytes()), 0, 0
        for index, (number, _, sentences, tokens) in enumerate(record["units"]):
            shared = record["pools"]["shared"][record["members"]["shared"][index]]
            if index not in record["dropped"] and (site in record["sites"] or site in shared):
                found.setdefault(number, []).insert(0, (record, shared, token, sentence))
            token, sentence = token + tokens, sentence + sentences
    return found


def rows(variable: h5py.Dataset, record: dict, first: int, count: int) -> np.ndarray:
    """Return rows of one unit: a file may hold several, one after the other."""
    layout = record.get("layout", record)
    axis = next(number for number, dim in enumerate(layout["dims"]) if dim in ("token", "sentence"))
    row_bytes = (
        variable.id.get_storage_size() // variable.size * int(np.prod(variable.shape[axis + 1 :]))
    )
    first += (record["offset"] - variable.id.get_offset()) // row_bytes
    return variable[(slice(None),) * axis + (slice(first, first + count),)]


if __name__ == "__main__":
    values, sentences = read_site(Path(sys.argv[1]), *sys.argv[2:])
    print(values.dtype, values.shape, float(values.mean()), sentences[:3])

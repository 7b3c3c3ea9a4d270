"""A model's weight files.

Which they are, whether they fit config.json, and the digest of their tensors.

The digest is of the tensors themselves, so that sharding, file names and prefixes do not matter.
All of it comes from the bytes of safetensors files; neither torch nor the whole model is loaded.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from actlas.pipeline.models.family import Family, Fields, WeightRules
from actlas.pipeline.models.files.digest_cache import tensor_digests
from actlas.pipeline.models.files.tensor_files import Entry, TensorFile, opened_tensors
from actlas.store.errors import UsageError, quoted
from actlas.store.io.safe_open import read_input

LARGEST_INDEX = 16 << 20  # bytes
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
FLOATS = ("F64", "F32", "F16", "BF16")
#: prefixes of wrapped models, and who writes them
WRAPPERS = {
    "module.": "torch's DataParallel: save `model.module`",
    "_orig_mod.": "torch.compile: save `model._orig_mod`",
}


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files that transformers loads from ``folder``, and no others.

    Raises UsageError where weights are missing or only pickled.
    """
    check_whole(folder)
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    for path in (single, index):
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is not a regular file: expected the weights of the model")
    if single.is_file():
        return [single]
    if index.is_file():
        return [folder / name for name in sorted(set(_indexed(index).values()))]
    if pickled := [path.name for pattern in PICKLED for path in sorted(folder.glob(pattern))]:
        raise UsageError(
            f"{folder} has only pickled weights ({pickled[0]}), which can run code when loaded: "
            "save the model as safetensors, `model.save_pretrained(folder, "
            "safe_serialization=True)`"
        )
    others = "".join(f", found {path.name}" for path in sorted(folder.glob("*.safetensors"))[:1])
    raise UsageError(
        f"{folder} has no weights: expected model.safetensors or "
        f"model.safetensors.index.json{others}"
    )


def check_whole(folder: Path) -> None:
    """Raise UsageError for a folder that holds changes of another model."""
    if (folder / "adapter_config.json").is_file():
        raise UsageError(f"{folder} is an adapter: merge it into its model and save that")


def _indexed(index: Path) -> dict[str, str]:
    """Return tensor → file of an index.

    Raises UsageError for one that is none, or names what is not there.
    """
    try:
        names = json.loads(read_input(index, LARGEST_INDEX))["weight_map"]
        wrong = [file for file in names.values() if not isinstance(file, str)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{index} is not an index of weights: copy it again") from error
    if not names:
        raise UsageError(f"{index} has an empty weight_map: copy it again, or save the model again")
    wrong += [file for file in names.values() if isinstance(file, str) and Path(file).name != file]
    if wrong:
        raise UsageError(
            f"{index} names {quoted(wrong[0])}, which is not a file beside it: copy it again"
        )
    for file in names.values():
        if not (index.parent / file).is_file():
            raise UsageError(
                f"{index.parent}: weight file {quoted(file)} of its index is missing: copy the "
                f"whole folder"
            )
    return dict(names)


@contextmanager
def opened_weights(
    files: Sequence[Path], family: Family, fields: Fields
) -> Iterator[list[TensorFile]]:
    """Open all weight ``files`` of a model whose config.json has the effective ``fields``.

    Raises UsageError unless they hold each of its tensors once, in its shape and a floating dtype,
    and nothing that its computation would leave out.
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(opened_tensors(path)) for path in files]
        _check_index(opened)
        rules = family.weights
        _check_fit(files[0].parent, _by_name(opened, rules), rules, fields)
        yield opened


def own_name(name: str, rules: WeightRules) -> str | None:
    """Return a tensor's name without the prefix; None for what is not a weight, such as a mask."""
    if name.endswith(rules.ignored):
        return None
    return rules.renamed(name).removeprefix(rules.prefix)


def model_name(own: str, rules: WeightRules) -> str:
    """Return the name in a model's state of what is called ``own`` here."""
    if rules.in_model is not None:
        return rules.in_model(own)
    of_head = rules.head.rpartition(".")[0] + "."
    return own if own.startswith(of_head) else rules.prefix + own


def is_tied(fields: Fields) -> bool:
    """Return whether the head is the embedding; False for a model without a head."""
    return bool(fields.get("tie_word_embeddings", False))


def weights_digest(files: Sequence[Path], family: Family, fields: Fields) -> str:
    """Return the digest of all tensors of ``files``.

    Remembered ones are taken, as ``digest_cache`` tells.

    fields: the effective ones of config.json. Raises UsageError as ``opened_weights`` and
    ``digest_of`` do.
    """
    digests = {}
    with opened_weights(files, family, fields) as opened:
        for file in opened:
            for name, digest in tensor_digests(file).items():
                if (own := own_name(name, family.weights)) is not None:
                    digests[own] = digest
    tied = is_tied(fields)
    return digest_of(digests, family.weights, tied=tied, where=files[0].parent)


def digest_of(digests: Mapping[str, str], rules: WeightRules, *, tied: bool, where: object) -> str:
    """Return the digest of a model whose tensors have ``digests``.

    With ``tied``, the head is no weight of its own.

    Raises UsageError for a tied head that is not the embedding: transformers before version 5 would
    use the embedding in its place, later ones the head.
    """
    weights, head, embedding = dict(digests), rules.head, rules.embedding
    if tied and head in weights:
        of_head = weights.pop(head)
        if weights.setdefault(embedding, of_head) != of_head:
            raise UsageError(
                f"{where}: {head} is not the embedding {embedding}, but config.json ties them: "
                "set tie_word_embeddings to false there, or save the model again"
            )
    return "xxh3:" + hashlib.sha256(json.dumps(sorted(weights.items())).encode()).hexdigest()[:32]


def _check_index(opened: Sequence[TensorFile]) -> None:
    """Raise UsageError where an index says that a tensor is in a file that lacks it."""
    index = opened[0].path.parent / "model.safetensors.index.json"
    if opened[0].path.name == "model.safetensors" and len(opened) == 1:
        return
    entries = {file.path.name: file.entries for file in opened}
    for name, file in _indexed(index).items():
        if name not in entries.get(file, {}):
            raise UsageError(
                f"{index} says that tensor {quoted(name)} is in {quoted(file)}, which lacks it: "
                f"copy both again"
            )


def _by_name(opened: Sequence[TensorFile], rules: WeightRules) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for file in opened:
        for name, entry in file.entries.items():
            own = own_name(name, rules)
            if own in found:
                raise UsageError(
                    f"{file.path}: tensor {quoted(name)} is there twice: save the model again"
                )
            if own is not None:
                found[own] = entry
    return found


def _check_fit(
    folder: Path, found: Mapping[str, Entry], rules: WeightRules, fields: Fields
) -> None:
    _check_prefix(folder, found, rules)
    _check_blocks(folder, found, rules, fields[rules.layers])
    wanted = rules.shapes(fields)
    for name, shape in wanted.items():
        _check_tensor(folder, name, shape, found, rules)
    if is_tied(fields):
        wanted[rules.head] = wanted[rules.embedding]
    more = [name for name in found if name.startswith(rules.computing) and name not in wanted]
    if more:
        raise UsageError(
            f"{folder}: weights do not fit config.json: {rules.title} has no tensor "
            f"{quoted(min(more))} ({len(more)} such in all), and would compute something else "
            "without it"
        )


def _check_blocks(
    folder: Path, found: Mapping[str, Entry], rules: WeightRules, expected: int
) -> None:
    """Raise UsageError for another number of blocks.

    Config.json may name more than could be listed.
    """
    blocks: dict[int, str] = {}
    for name in found:
        if match := re.match(rules.block, name):
            blocks[int(match[1])] = match[0].rstrip(".")
    if len(blocks) == expected and (not blocks or max(blocks) == expected - 1):
        return
    last = f", the last {blocks[max(blocks)]}" if blocks else ""
    raise UsageError(
        f"{folder}: weights do not fit config.json: they have {len(blocks)} blocks{last}, "
        f"expected {expected} ({rules.layers})"
    )


def _check_tensor(
    folder: Path,
    name: str,
    shape: tuple[int, ...],
    found: Mapping[str, Entry],
    rules: WeightRules,
) -> None:
    """Raise UsageError unless the tensor is there as it must be.

    A tied embedding may be there as the head.
    """
    entry = found.get(name) or (found.get(rules.head) if name == rules.embedding else None)
    wrong = None
    if entry is None:
        wrong = f"{name} is missing"
    elif entry.shape != shape:
        wrong = f"{name} has shape {list(entry.shape)}, expected {list(shape)}"
    elif entry.dtype not in FLOATS:
        wrong = f"{name} has dtype {entry.dtype}, expected one of {', '.join(FLOATS)}"
    if wrong:
        raise UsageError(f"{folder}: weights do not fit config.json: {wrong}")


def _check_prefix(folder: Path, found: Mapping[str, Entry], rules: WeightRules) -> None:
    """Raise UsageError where all tensors have a prefix that the family's have not."""
    if any(name in found for name in rules.always):
        return
    endings = rf"(?:{re.escape(rules.prefix)})?(?:{'|'.join(map(re.escape, rules.always))})"
    for name in found:
        if match := re.fullmatch(rf"(.+?\.){endings}", name, re.DOTALL):
            prefix = match[1]
            if prefix in WRAPPERS:
                advice = f"as written by {WRAPPERS[prefix]}"
            else:
                advice = f"expected {rules.prefix!r} or none: save the {rules.title} inside alone"
            raise UsageError(
                f"{folder}: the names of its tensors begin with {quoted(prefix)}, {advice}, "
                "or rename them"
            )

"""The program of the process that tokenizes.

``python -P tokenizer_process.py``, started by ``tokenizer``.

A tokenizer's files can come from anywhere, and code in Rust runs what they say: regular
expressions, replacements, sizes. Here that can take no more than so much time and memory, and a
crash ends this process alone. It imports nothing of actlas, and transformers only for files it has
not seen before.

Frames go both ways, 8 bytes of length (little-endian) before each:

1. in: JSON ``{"entry": FILE of the cache or null, "key": KEY}``; out: JSON, see ``_first``
2. where the cache had nothing, in: JSON ``{"folder": FOLDER, "scratch": WHERE IT IS}``; out: the
same
3. in: JSON ``{"texts": TEXTS, "special": WHETHER SPECIAL TOKENS ARE ADDED}``; out: ``1`` and a
   reason, or ``0`` and three arrays: number of tokens of each text (int32), ids (uint32), start and
   end of each token in characters (int32); and so on
4. at any time then, in: JSON ``{"vocabulary": SIZE}``; out: JSON, see ``tokenizer_words``
5. in: JSON ``{"ids": LISTS OF IDS}``; out: ``1`` and a reason, or ``0`` and JSON, the text of each
"""

from __future__ import annotations

import array
import contextlib
import hashlib
import importlib.util
import json
import os
import resource
import secrets
import signal
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


def _beside(name: str) -> ModuleType:
    """Return the module in a file beside this one, which is no package's where it runs."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CHECKS, WORDS = _beside("tokenizer_checks"), _beside("tokenizer_words")
Refused: type[Exception] = CHECKS.Refused

MEMORY = 4 << 30  # bytes
LOAD_SECONDS = 30  # of processor time; the largest tokenizers take a quarter
# for texts, and for each of their characters; ten times what is usual
TEXT_SECONDS, CHARACTER_SECONDS = (10, 2e-5)
# what transformers would import and tokenizers do not need
ELSEWHERE = ("torch", "tensorflow", "flax", "jax")
DESCRIBED = ("bos", "mask", "special")  # of a tokenizer that can be used
NONE: dict[str, Any] = {"before": [], "after": []}

#: where a tokenizer alone could differ from transformers' class around it: a check, not a proof
PROBES = (
    *("", " ", "a", " her", "We saw her.", "  two  spaces \n\n\tand\ttabs \r\n"),
    *("I'm, you're; it's", "ÀÉÎ naïve", "cafe\u0301"),
    *("日本語の文。", "她喝了她的茶。", "हिन्दी में", "สวัสดี", "עברית", "مرحبا", "👩‍👩‍👧 🇩🇪", "𝒜𝓁𝓅"),
    *("ﬁ ① ™ ㌔", "x\u00a0y\u2003z"),
    *("1234567890 3.14 1,000", "<s> </s> <unk> [CLS] [SEP] [MASK] <|endoftext|>"),
    *("▁▁ under_score Ġ", "a\x00b\x7f", "A" * 300),
)


def main() -> None:
    """Answer frames until the end of the standard input."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this process ends it
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit(resource.RLIMIT_DATA, MEMORY)
    questions = sys.stdin.buffer
    tokenizer = None
    entry: dict[str, Any] = {}
    answer: dict[str, Any] = {}
    while (frame := _read(questions)) is not None:
        question = json.loads(frame)
        if "vocabulary" in question:
            _allow(LOAD_SECONDS)
            _write(answers, WORDS.vocabulary(tokenizer, question["vocabulary"], _reason))
            continue
        if "texts" in question:
            special = answer.get("special") if question["special"] else None
            _write(answers, _encoded(tokenizer, question["texts"], special))
            continue
        if "ids" in question:
            _write(answers, _decoded(tokenizer, question["ids"]))
            continue
        entry |= question
        answer, tokenizer = _first(entry)
        _write(answers, json.dumps(answer).encode())


def _first(question: dict[str, Any]) -> tuple[dict[str, Any], Tokenizer | None]:
    """Return the description of a tokenizer, and the tokenizer.

    It is ``{"bos": [TOKEN, ID] or null, "mask": the same, "special": {"before": [[TOKEN, ID], …],
    "after": …}}``, ``{"refused": WHY}``, or ``{"unknown": true}`` where the cache has nothing and
    no folder is named yet.
    """
    _allow(LOAD_SECONDS)
    entry = question["entry"] and Path(question["entry"])
    try:
        if "folder" not in question:
            found = _remembered(entry, question["key"])
            if found is None:
                return {"unknown": True}, None
            return {name: found[name] for name in DESCRIBED}, _backend(found)
        os.chdir(question["scratch"])
        found = _from_transformers(question["folder"])
        os.chdir("/")
        tokenizer = _backend(found)
        _remember(entry, question["key"], found)
        return {name: found[name] for name in DESCRIBED}, tokenizer
    except BaseException as error:  # a panic in Rust is no Exception
        return {"refused": _reason(error)}, None


def _from_transformers(folder: str) -> dict[str, Any]:
    """Load ``folder`` as transformers does; return what ``_backend`` makes the same tokenizer from.

    Raises Refused for one without offsets, one that draws at random, and one whose class does more
    than hand texts to the library below it.
    """
    CHECKS.check_within(folder)
    CHECKS.check_ids(folder)
    os.environ["HF_HUB_OFFLINE"] = "1"
    for name in ELSEWHERE:
        sys.modules[name] = None  # type: ignore[assignment]  # "not installed"
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    kind = type(loaded).__name__
    if not getattr(loaded, "is_fast", False):
        raise Refused(f"{kind} is not a fast tokenizer, it gives no offsets")
    if getattr(loaded.backend_tokenizer.model, "dropout", None):
        raise Refused("it has BPE dropout, which draws token ids at random: set it to null")
    # the class takes the settings of tokenizer.json for its own calls back, and only there
    probes = _probes(loaded)
    default = loaded(probes, return_offsets_mapping=True)
    plain = loaded(probes, return_offsets_mapping=True, add_special_tokens=False)
    backend = loaded.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    bos, mask = loaded.bos_token_id, loaded.mask_token_id
    found = {
        "backend": backend.to_str(),
        "split_special": bool(getattr(loaded, "split_special_tokens", False)),
        "bos": None if bos is None else [str(loaded.bos_token), bos],
        "mask": None if mask is None else [str(loaded.mask_token), mask],
    }
    tokenizer = _backend(found)
    for special, wanted in ((True, default), (False, plain)):
        again = tokenizer.encode_batch(probes, add_special_tokens=special)
        spans = [[tuple(span) for span in each] for each in wanted["offset_mapping"]]
        if wanted["input_ids"] != [each.ids for each in again] or spans != [
            each.offsets for each in again
        ]:
            raise Refused(f"{kind} changes texts or ids in Python, which is not supported")
    return found | {"special": _special(tokenizer.encode_batch(probes))}


def _special(encodings: list[Encoding]) -> dict[str, list[tuple[str, int]]]:
    """Return the special tokens before and after each of ``encodings``."""
    of_texts = (each for each in encodings if 0 in each.special_tokens_mask)
    one = next(of_texts, encodings[0])
    mask = one.special_tokens_mask
    first = mask.index(0) if 0 in mask else len(mask)
    last = len(mask) - (mask[::-1].index(0) if 0 in mask else 0)
    tokens = list(zip(one.tokens, one.ids, strict=True))
    found = {"before": tokens[:first], "after": tokens[last:]}
    for each in encodings:
        _check_special(each, each.ids, found)
    return found


def _check_special(encoding: Encoding, ids: list[int], special: dict[str, Any]) -> None:
    """Raise Refused unless ``special`` stand around ``encoding``, without characters, alone."""
    before, after = ([number for _, number in special[side]] for side in ("before", "after"))
    mask, last = encoding.special_tokens_mask, len(ids) - len(after)
    if ids[: len(before)] != before or ids[last:] != after:
        raise Refused("its special tokens are not the same before and after every text")
    around = mask[: len(before)] + mask[last:]
    if sum(mask) != sum(around) or sum(around) != len(around):
        raise Refused("it adds special tokens within a text, which is not supported")


def _probes(loaded: Any) -> list[str]:
    added = sorted(loaded.get_added_vocab())[:200]
    return [*PROBES, *(f"a {token}b {token} c" for token in added)]


def _backend(found: dict[str, Any]) -> Tokenizer:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(found["backend"])
    tokenizer.encode_special_tokens = found["split_special"]  # no part of the serialisation
    return tokenizer


def _encoded(
    tokenizer: Tokenizer | None, texts: list[str], special: dict[str, Any] | None
) -> bytes:
    """Return the third frame for ``texts``, with ``special`` around each."""
    _allow(TEXT_SECONDS + CHARACTER_SECONDS * sum(map(len, texts)))
    try:
        if tokenizer is None:
            raise Refused("there is no tokenizer")
        encodings = tokenizer.encode_batch(texts, add_special_tokens=special is not None)
        counts, ids, spans = array.array("i"), array.array("I"), array.array("i")
        for encoding in encodings:
            numbers = encoding.ids
            _check_special(encoding, numbers, special or NONE)
            counts.append(len(numbers))
            ids.extend(numbers)
            for span in encoding.offsets:
                spans.extend(span)
        return b"0" + counts.tobytes() + ids.tobytes() + spans.tobytes()
    except BaseException as error:  # as above
        return b"1" + _reason(error).encode()


def _decoded(tokenizer: Tokenizer | None, lists: list[list[int]]) -> bytes:
    """Return the fourth frame: the text of each list of ids, special tokens among them."""
    _allow(TEXT_SECONDS + CHARACTER_SECONDS * sum(map(len, lists)))
    try:
        if tokenizer is None:
            raise Refused("there is no tokenizer")
        texts = tokenizer.decode_batch(lists, skip_special_tokens=False)
        return b"0" + json.dumps(texts).encode()
    except BaseException as error:  # as above
        return b"1" + _reason(error).encode()


def _remembered(entry: Path | None, key: str) -> dict[str, Any] | None:
    """Return what ``_remember`` wrote, None where it is not there or not whole."""
    try:
        checksum, _, content = entry.read_bytes().partition(b"\n") if entry else (b"", b"", b"")
        if hashlib.sha256(content).hexdigest().encode() != checksum:
            return None
        record: dict[str, Any] = json.loads(content)
    except (OSError, ValueError):
        return None
    return record if record["key"] == key else None


def _remember(entry: Path | None, key: str, found: dict[str, Any]) -> None:
    if entry is None:
        return
    content = json.dumps({"key": key, **found}).encode()
    draft = entry.with_suffix(f".{secrets.token_hex(4)}")
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        draft.replace(entry)
    except OSError:  # a cache that cannot be written costs time, nothing else
        with contextlib.suppress(OSError):
            draft.unlink()


def _allow(seconds: float) -> None:
    """Let this process end itself (SIGXCPU) after so much more processor time."""
    _limit(resource.RLIMIT_CPU, int(time.process_time() + seconds) + 1)


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _reason(error: BaseException) -> str:
    """Return the error on one line: transformers' have many, and repeat what they were given."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    kind = "" if isinstance(error, Refused) else f"{type(error).__name__}: "
    return kind + (text if len(text) <= 200 else f"{text[:199]}…")


def _read(stream: BinaryIO) -> bytes | None:
    length = stream.read(8)
    return stream.read(int.from_bytes(length, "little")) if length else None


def _write(stream: BinaryIO, frame: bytes) -> None:
    stream.write(len(frame).to_bytes(8, "little") + frame)
    stream.flush()


if __name__ == "__main__":
    main()

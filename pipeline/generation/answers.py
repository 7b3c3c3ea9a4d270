"""Answers: prompts are extended by what the model writes, and become sentences like any other.

The answers are transformers' own, ``model.generate`` with its cache, for prompts of one length at a
time, so that there is no padding. What was generated is kept by the run that it became; a key of
prompts, model and settings finds it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from actlas.pipeline.extraction.options import ExtractOptions
from actlas.pipeline.extraction.plan import Job
from actlas.pipeline.inputs.tokenizer import open_tokenizer
from actlas.pipeline.inputs.tokens import Tokenized
from actlas.pipeline.models.folder import ModelFolder
from actlas.store.catalog import Store
from actlas.store.errors import DamagedStore, IncompleteRun, StoreError, UsageError
from actlas.store.format.schema import canonical
from actlas.store.labels.generated import Generated, generated_of
from actlas.store.labels.labels import TOKEN_LABELS, Labels

if TYPE_CHECKING:
    import torch

    from actlas.pipeline.models.family import Model

IntArray = npt.NDArray[np.int64]
HALF = "\ufffd"  # what stands for a character of which not all bytes are there yet


@dataclass(frozen=True)
class GenerateOptions:
    """How prompts are extended; all of it is part of what finds the answers again."""

    tokens: int  # at most, behind each prompt; the end-of-text token ends it sooner
    temperature: float | None = None  # of sampling; the likeliest token where None
    seed: int = 0  # of sampling, drawn for each prompt by itself

    def __post_init__(self) -> None:
        """Raise UsageError for no tokens, or a temperature of 0 or below."""
        if self.tokens < 1:
            raise UsageError(f"--generate is {self.tokens}, expected 1 or more")
        if self.temperature is not None and not 0 < self.temperature < float("inf"):
            raise UsageError(f"--temperature is {self.temperature:g}, expected above 0")


@dataclass(frozen=True)
class Answers:
    """Prompts of a model, and how they are to be extended."""

    prompts: Tokenized
    model: ModelFolder
    options: ExtractOptions  # of the extraction, settled
    how: GenerateOptions

    def __post_init__(self) -> None:
        """Raise UsageError for a model that writes nothing, or has no room for the answers."""
        name, positions = self.model.name, self.model.geometry.positions
        if not self.model.family.causal:
            raise UsageError(
                f"model {name} sees both sides of a token and generates no text: leave --generate "
                "out"
            )
        if self.options.edits or self.options.mode == "train":
            what = "--edit" if self.options.edits else "--train-mode"
            raise UsageError(f"{what} is not in force while text is generated: leave one out")
        if self.prompts.special.after:
            raise UsageError(
                f"model {name}: its tokenizer puts {self.prompts.special.after[0].token} behind "
                "each prompt, where the answer goes: give --no-special"
            )
        longest = int(self.prompts.labels.row_size.max())
        if longest + self.how.tokens > positions:
            raise UsageError(
                f"--generate is {self.how.tokens}, and the longest prompt has {longest} tokens: "
                f"{name} has {positions} positions for both"
            )

    @property
    def ends(self) -> tuple[int, ...]:
        """The end-of-text tokens of config.json."""
        given = self.model.config.get("eos_token_id")
        ends = given if isinstance(given, list) else [given]
        return tuple(sorted(each for each in ends if type(each) is int and each >= 0))

    @property
    def settings(self) -> dict[str, object]:
        """What decides the answers beside prompts and model."""
        numerics = {"dtype": self.options.dtype, "attention": self.options.attention}
        return {**asdict(self.how), "ends": list(self.ends), **numerics}

    @property
    def key(self) -> str:
        """Digest of prompts, model and settings."""
        model = [self.model.weights_digest, self.model.config_digest]
        prompts = [self.prompts.digest, self.prompts.text_digest]
        parts = {"model": model, "prompts": prompts, "settings": self.settings}
        return hashlib.sha256(canonical(parts)).hexdigest()[:32]

    def stored(self, store: Store | None) -> Tokenized | None:
        """Return prompts and answers as a run of ``store`` has them; None where none has."""
        for run in store.runs() if store else ():
            try:
                found = generated_of(run.description)
                if found is None or found.key != self.key or run.edits:
                    continue
                labels = run.labels
            except (DamagedStore, IncompleteRun):  # the labels of some units are not there yet
                continue
            columns = self.prompts.labels.columns
            labels = replace(labels, text=tuple(labels.text), columns=columns)
            return replace(self.prompts, labels=labels, generated=found)
        return None

    @property
    def job(self) -> Job:
        """What the model is loaded for."""
        prompts, weights = self.prompts, self.model.weights_digest
        longest, texts = int(prompts.labels.row_size.max()), prompts.text_digest
        return Job(self.model, self.options, None, longest, prompts.tokenizer, texts, weights)

    def generate(self, model: Model) -> Tokenized:
        """Return the prompts with their answers, generated now by ``model``, that of ``job``.

        Raises StoreError for want of memory, and for an answer that no text can hold.
        """
        answers = _generated(self, model)
        with open_tokenizer(self.model.folder, self.model.name) as tokenizer:
            parts = [
                _with_answer(self.prompts.labels.sentences(number, 1), answer, tokenizer.decode)
                for number, answer in enumerate(answers)
            ]
        token = {name: np.concatenate([part[0][name] for part in parts]) for name in TOKEN_LABELS}
        row_size = np.array([len(part[0]["position"]) for part in parts], dtype=np.int32)
        texts, columns = tuple(part[1] for part in parts), self.prompts.labels.columns
        counts = tuple(self.prompts.labels.row_size.tolist())
        generated = Generated(self.key, {**self.settings, **_software()}, counts)
        labels = Labels(token, row_size, texts, columns)
        return replace(self.prompts, labels=labels, generated=generated)


def _generated(answers: Answers, model: Model) -> list[IntArray]:
    """Return the token ids behind each prompt, without those that end it."""
    import torch

    from actlas.pipeline.extraction.forward import out_of_memory

    labels, found = answers.prompts.labels, dict[int, IntArray]()
    starts = np.concatenate([[0], np.cumsum(labels.row_size)])
    for numbers in _batches(labels.row_size, answers.how.tokens, answers.options.unit_tokens):
        ids = [labels.token["token_id"][starts[n] : starts[n + 1]] for n in numbers]
        given = torch.from_numpy(np.stack(ids).astype(np.int64)).to(model.device)
        try:
            written = _written(model, given, numbers, answers)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            raise StoreError(
                f"out of memory while {len(numbers)} answers were generated at a time: give a "
                "smaller --unit-tokens"
            ) from error
        for number, row in zip(numbers, written, strict=True):
            end = np.flatnonzero(np.isin(row, answers.ends))
            found[number] = row[: end[0]] if len(end) else row
    return [found[number] for number in range(len(labels.row_size))]


def _batches(row_size: npt.NDArray[np.int32], tokens: int, most: int) -> Iterator[list[int]]:
    """Yield the numbers of prompts of one length, of at most ``most`` tokens with answers."""
    for length in np.unique(row_size).tolist():
        alike = np.flatnonzero(row_size == length).tolist()
        step = max(1, most // (length + tokens))
        for first in range(0, len(alike), step):
            yield alike[first : first + step]


def _written(
    model: Model, prompts: torch.Tensor, numbers: Sequence[int], answers: Answers
) -> IntArray:
    """Return what ``model`` writes behind ``prompts`` (sentence, position): (sentence, token)."""
    import torch
    from transformers import GenerationConfig

    how = answers.how
    config = GenerationConfig(
        max_new_tokens=how.tokens,
        do_sample=False,
        num_beams=1,
        use_cache=True,
        eos_token_id=list(answers.ends) or None,
        pad_token_id=answers.ends[0] if answers.ends else 0,
    )
    drawn = [] if how.temperature is None else [_Drawn(how.temperature, how.seed, numbers)]
    with torch.inference_mode():
        whole = model.generate(  # type: ignore[operator]  # nn.Module takes any attribute for a tensor
            input_ids=prompts,
            attention_mask=torch.ones_like(prompts),
            generation_config=config,
            logits_processor=drawn,
        )
    found: IntArray = whole[:, prompts.shape[1] :].cpu().numpy()
    return found


class _Drawn:
    """Sampling as the largest of scores with noise, drawn for each prompt by itself.

    log p / T plus Gumbel noise is largest at a token with the probability that softmax gives it, so
    what one prompt gets depends on no other in its batch. Source: Gumbel-max, Maddison 2014.
    """

    def __init__(self, temperature: float, seed: int, numbers: Sequence[int]) -> None:
        import torch

        self._temperature = temperature
        self._draws = []
        for number in numbers:
            state = np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0]
            self._draws.append(torch.Generator().manual_seed(int(state >> 1)))

    def __call__(self, _ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores (sentence, vocabulary) whose largest is the token that is drawn."""
        import torch

        noise = torch.empty(scores.shape, dtype=torch.float32)
        for row, draw in zip(noise, self._draws, strict=True):
            row.exponential_(generator=draw)
        return scores.float() / self._temperature - noise.log().to(scores.device)


def _with_answer(
    prompt: Labels, answer: IntArray, decode: Any
) -> tuple[dict[str, npt.NDArray[np.int32]], str]:
    """Return the labels of the tokens and the text of one prompt with its answer."""
    ids = np.concatenate([prompt.token["token_id"], answer]).astype(np.int32)
    before = len(prompt.token["token_id"])
    prefixes = decode([ids[:end].tolist() for end in range(before, len(ids) + 1)])
    text, ends = _ends(prompt.text[0], prefixes)
    starts = np.array(ends[:-1], dtype=np.int32)
    # a token with some bytes of a character covers all of it, as in texts that are given
    later = [min((end for end in ends if end > start), default=start) for start in ends[:-1]]
    token = {
        "sentence": np.full(len(ids), prompt.token["sentence"][0], dtype=np.int32),
        "position": np.arange(len(ids), dtype=np.int32),
        "token_id": ids,
        "char_start": np.concatenate([prompt.token["char_start"], starts]),
        "char_end": np.concatenate([prompt.token["char_end"], np.array(later, dtype=np.int32)]),
    }
    return token, text


def _ends(prompt: str, prefixes: Sequence[str]) -> tuple[str, list[int]]:
    """Return the whole text, and up to where its characters are complete behind each prefix.

    prefixes: the tokens of the prompt decoded, and then with one token more each.
    """
    base, whole = prefixes[0], prefixes[-1]
    if not whole.startswith(base):
        raise StoreError(
            f"the tokenizer decodes the prompt {prompt[:40]!r} in another way when an answer "
            "follows: its characters cannot be counted"
        )
    if "\0" in whole[len(base) :]:
        raise StoreError(
            f"the answer to {prompt[:40]!r} has a NUL character, which no text of a store has: "
            "give another --seed, or fewer tokens"
        )
    ends = [len(base)]
    for prefix in prefixes[1:-1]:
        complete = prefix.rstrip(HALF)
        while not whole.startswith(complete):  # what follows may change the last characters
            complete = complete[:-1]
        ends.append(max(ends[-1], len(complete)))
    if len(prefixes) > 1:
        ends.append(len(whole))
    shift = len(prompt) - len(base)
    return prompt + whole[len(base) :], [end + shift for end in ends]


def _software() -> dict[str, str]:
    import importlib.metadata

    return {name: importlib.metadata.version(name) for name in ("torch", "transformers")}

"""Which tokens of a run a model wrote itself: those behind the prompt of their sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actlas.store.errors import DamagedStore
from actlas.store.format.schema import Json
from actlas.store.labels.labels import SENTENCE_IN_RUN, Labels

GENERATED = "generated"  # the label of tokens in a view
PROMPT_TOKENS = "prompt_tokens"  # that of sentences
MEANING = "whether the model wrote the token, behind the prompt"


@dataclass(frozen=True)
class Generated:
    """How sentences came about: what answers were asked for, and the length of each prompt."""

    key: str  # digest of prompts, model and settings: equal ones have equal answers
    settings: Mapping[str, object]
    prompt_tokens: tuple[int, ...]  # of each sentence, special ones before it among them

    def to_json(self) -> Json:
        """Return the form that a run's description has."""
        return {
            "key": self.key,
            "settings": dict(self.settings),
            PROMPT_TOKENS: list(self.prompt_tokens),
        }


def generated_of(description: Json) -> Generated | None:
    """Return what a run's description says, None of a run whose sentences were all given.

    Raises DamagedStore where that cannot be read.
    """
    record = description.get(GENERATED)
    if record is None:
        return None
    try:
        counts = tuple(record[PROMPT_TOKENS])
        if not all(type(count) is int and count > 0 for count in counts):
            raise ValueError("a prompt without tokens")
        return Generated(str(record["key"]), dict(record["settings"]), counts)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedStore(
            f"a run's record does not say which tokens were generated ({error}): restore run.json "
            "from a copy"
        ) from error


def prompt_tokens_of(description: Json, labels: Labels) -> npt.NDArray[np.int32] | None:
    """Return tokens of each sentence's prompt, (sentence,); None where nothing was generated.

    labels: of the run, or of an export with some of its sentences. Raises DamagedStore.
    """
    found = generated_of(description)
    if found is None:
        return None
    numbers = labels.columns.get(SENTENCE_IN_RUN, np.arange(len(labels.row_size)))
    count = len(found.prompt_tokens)
    if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < count:
        raise DamagedStore(
            f"a run's record has {count} prompts, expected one a sentence: "
            "restore run.json from a copy"
        )
    counts: npt.NDArray[np.int32] = np.array(found.prompt_tokens, dtype=np.int32)[numbers]
    return counts


def among(
    labels: Mapping[str, npt.NDArray[np.int32]], prompt_tokens: npt.NDArray[np.int32]
) -> npt.NDArray[np.bool_]:
    """Return which tokens were generated, (token,).

    labels: ``sentence``, counted from the first of ``prompt_tokens``, and ``position``.
    """
    found: npt.NDArray[np.bool_] = labels["position"] >= prompt_tokens[labels["sentence"]]
    return found

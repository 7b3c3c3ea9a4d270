"""The special tokens around each sentence of a run: which were put there, and where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from actlas.store.errors import DamagedStore, quoted
from actlas.store.format.schema import Json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: default: what the tokenizer adds by itself; bos: its BOS token in front of that; none: nothing
SpecialChoice = Literal["default", "bos", "none"]
LARGEST_ID = 2**31 - 1
SPECIAL = "special"  # the label of tokens in a view
MEANING = "whether the token was added around the text, such as BOS"


class SpecialToken(NamedTuple):
    """A special token and its id."""

    token: str
    id: int


@dataclass(frozen=True)
class SpecialTokens:
    """What stands before and after each sentence, without a character of its text."""

    before: tuple[SpecialToken, ...] = ()
    after: tuple[SpecialToken, ...] = ()
    choice: SpecialChoice = "default"

    def __len__(self) -> int:
        """Return how many tokens each sentence has of them."""
        return len(self.before) + len(self.after)

    def __str__(self) -> str:
        """Name them; "none" where there are none."""
        sides = (("before", self.before), ("after", self.after))
        named = [f"{' '.join(each.token for each in some)} {side}" for side, some in sides if some]
        return f"{', '.join(named)} each sentence" if named else "none"

    def to_json(self) -> Json:
        """Return the choice and both sides, each token with its id."""
        sides = (("before", self.before), ("after", self.after))
        tokens = {side: [token._asdict() for token in some] for side, some in sides}
        return {"choice": self.choice, **tokens}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> SpecialTokens:
        """Undo ``to_json``; raises KeyError, TypeError or ValueError where that is not possible."""
        if record["choice"] not in get_args(SpecialChoice):
            raise ValueError(f"unknown choice {quoted(record['choice'])}")
        before, after = (tuple(map(_token, record[side])) for side in ("before", "after"))
        return cls(before, after, record["choice"])

    def among(self, labels: Mapping[str, npt.NDArray[np.int32]]) -> npt.NDArray[np.bool_]:
        """Return which tokens they are, (token,).

        labels: ``token_id``, ``char_start`` and ``char_end``. A token of a text that has the id of
        one, as where the text spells it out, covers the characters it is of.
        """
        import numpy as np

        ids = [each.id for each in (*self.before, *self.after)]
        if not ids:
            return np.zeros(len(labels["token_id"]), dtype=np.bool_)
        empty = (labels["char_start"] == 0) & (labels["char_end"] == 0)
        found: npt.NDArray[np.bool_] = empty & np.isin(labels["token_id"], ids)
        return found


def _token(record: Mapping[str, Any]) -> SpecialToken:
    token, number = record["token"], record["id"]
    if not isinstance(token, str) or type(number) is not int or not 0 <= number <= LARGEST_ID:
        raise ValueError(f"token {quoted(str(token))} has id {quoted(str(number))}")
    return SpecialToken(token, number)


def special_of(description: Json) -> SpecialTokens:
    """Return what a run's description says was put around each sentence: nothing where none is.

    Raises DamagedStore where that cannot be read.
    """
    try:
        record = description.get("special")
        return SpecialTokens() if record is None else SpecialTokens.from_json(record)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedStore(
            f"a run's record does not say which special tokens it has ({error}): restore run.json "
            "from a copy"
        ) from error

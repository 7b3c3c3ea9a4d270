"""What studies of a word share: which tokens are looked at, and what they are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from actlas.analysis.declaring.options import Options, option
from actlas.analysis.declaring.study import PlannedRun, Study, Subject
from actlas.store.errors import UsageError

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.data.tokens import Selection, Target

SEEDS = (0, 2**63 - 1)


@dataclass(frozen=True)
class TargetOptions(Options):
    """Which tokens: a word, and a control for each of its occurrences."""

    target: str = option(
        help="The word to study, as a whole word: `can` is not in `can't`.", metavar="WORD"
    )
    case: bool = option(False, help="Let upper and lower case differ.")
    occurrence: str = option(
        "first",
        help="Which, where a sentence has the word more than once.",
        choices=("first", "last", "all"),
    )
    pool: str = option(
        "last",
        help="Which token stands for a word of several, or the mean of all.",
        choices=("last", "first", "mean"),
    )
    control: str = option(
        "previous",
        help="Compare with the token just before the word, a random earlier one, or one at the "
        "same position in another sentence; never with the first of a sentence or a special token.",
        choices=("previous", "random", "matched"),
    )
    seed: int = option(0, help="Seed of all that is drawn.", bounds=SEEDS)

    def __post_init__(self) -> None:
        """Raise UsageError for an empty word too."""
        super().__post_init__()
        if not self.target.strip():
            raise UsageError("the target word is empty: give --target WORD")

    @property
    def word(self) -> Target:
        """The word as the selection of tokens takes it."""
        from actlas.analysis.data.tokens import Target

        return Target(self.target, self.case, self.occurrence, self.pool, self.control, self.seed)  # type: ignore[arg-type]


T = TypeVar("T", bound=TargetOptions)


class TargetStudy(Study[T]):
    """A study of a word in Q, K and V."""

    needs = ("q", "k", "v")

    def check(self, options: T, planned: PlannedRun) -> None:
        """Raise TargetError where the word is not in the sentences."""
        from actlas.analysis.data.tokens import select_tokens

        select_tokens(planned.tokens(), options.word)

    def words(self, options: T) -> str:
        """Return the word."""
        return options.target

    def compared(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Say which tokens are compared, and what of the model is to be kept in mind."""
        from actlas.analysis.data.sites import heads_in_words

        found, heads = [str(result.attrs["selection"])], heads_in_words(result.attrs["heads"])
        if heads:
            found.append(f"{heads}: each is measured over the features of its own heads")
        if not subject.causal:
            found.append("the model is not causal: context is what stands before and after a token")
        return found


def heads_note(result: xr.Dataset) -> str:
    """Return what ends a caption where projections differ in their heads."""
    from actlas.analysis.data.sites import heads_in_words

    words = heads_in_words(result.attrs.get("heads", {}))
    return f"; {words}" if words else ""


def with_selection(result: xr.Dataset, selection: Selection, subject: Subject) -> xr.Dataset:
    """Return ``result`` with what is to be said of the selection in its attributes.

    The heads of each projection of ``subject`` are said too.
    """
    from actlas.analysis.data.sites import heads_of

    heads = heads_of(subject.dataset, TargetStudy.needs)
    record = selection.record()
    return result.assign_attrs(selection=selection.summary(), heads=heads, **record)

"""Options of studies of an answer, shared by those: whose logit, at which tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actlas.analysis.declaring import Subject, option
from actlas.analysis.declaring.groups import ReadOptions, first_token_option
from actlas.analysis.declaring.laws import SUMS, no_sum
from actlas.store.errors import UsageError, quoted

if TYPE_CHECKING:
    from actlas.analysis.attribution.compute import Answers
    from actlas.analysis.groups.token_groups import TokenGroups


@dataclass(frozen=True)
class AnswerOptions(ReadOptions):
    """Whose logit, compared with whose, at which tokens, of which groups."""

    answer: str | None = option(
        None,
        help="The word whose logit is taken apart. It is one token, with a space before it where "
        "there is such a token.",
        metavar="WORD",
    )
    against: str | None = option(
        None,
        help="The word it is compared with; without it the logit itself, which mixes in what moves "
        "all words.",
        metavar="WORD",
    )
    answer_column: str | None = option(
        None, help="Take the answer of each sentence from this column.", metavar="COLUMN"
    )
    against_column: str | None = option(
        None, help="Take what it is compared with from this column.", metavar="COLUMN"
    )
    at: str = option(
        "auto",
        help="Look at the tokens before the answer; before either of the two, where the one that "
        "follows is the answer; or at the last of each sentence. auto: either for two words, "
        "before for one, last with columns.",
        choices=("auto", "before", "either", "last"),
    )
    first_token: str = first_token_option("include")

    def __post_init__(self) -> None:
        """Raise UsageError unless one answer is given, and of the same kind as ``against``."""
        super().__post_init__()
        if (self.answer is None) == (self.answer_column is None):
            raise UsageError("give --answer WORD or --answer-column COLUMN, one of the two")
        if self.answer is None and self.against is not None:
            raise UsageError("--against goes with --answer: give --against-column COLUMN")
        if self.answer is not None and self.against_column is not None:
            raise UsageError("--against-column goes with --answer-column: give --against WORD")
        if self.answer is None and self.at in ("before", "either"):
            raise UsageError(
                f"--at {self.at} goes with --answer: columns are asked at the last token"
            )
        if self.against is None and self.at == "either":
            raise UsageError("--at either is for two words: give --against WORD")

    @property
    def asked(self) -> str:
        """The answers, for the name of a result."""
        given = (self.answer, self.against, self.answer_column, self.against_column)
        return " ".join(filter(None, given))


def check_law(whose: str, law: str) -> None:
    """Raise UsageError where a logit is no sum of what blocks write."""
    if law not in SUMS:
        raise UsageError(f"{whose} has no logit that is a sum of its parts: {no_sum(law)}")


def check_whole(subject: Subject) -> None:
    """Raise UsageError for an export of some layers."""
    depths = subject.dataset.sizes["depth"]
    numbers = (
        subject.dataset["depth"].values if "depth" in subject.dataset.coords else range(depths)
    )
    if list(numbers) != list(range(depths)) or subject.dataset.sizes["layer"] != depths - 1:
        raise UsageError(
            f"{subject.name} has some of the layers: a logit is a sum over all, use the whole run"
        )


def chosen_answers(subject: Subject, options: AnswerOptions, groups: TokenGroups) -> Answers:
    """Return which tokens of ``groups`` are asked for which answers; raises UsageError."""
    found = _answers(subject, options)
    asked = found.among(groups.tokens)
    if not len(asked.tokens):
        raise UsageError(
            f"run {subject.name}: none of the {len(found.tokens)} tokens that are asked is of a "
            "group: choose others with --group or --at"
        )
    return asked


def _answers(subject: Subject, options: AnswerOptions) -> Answers:
    from actlas.analysis.attribution import answers

    dataset, readout = subject.dataset, subject.readout
    try:
        if options.answer_column is not None:
            columns = options.answer_column, options.against_column
            return answers.column_answers(dataset, readout, *columns)
        auto = answers.BEFORE if options.against is None else answers.EITHER
        at = auto if options.at == "auto" else options.at
        return answers.word_answers(dataset, readout, str(options.answer), options.against, at)
    except UsageError as error:
        raise UsageError(f"run {subject.name}: {error}") from error


def pair_text(subject: Subject, answers: Answers) -> str:
    """Return such as "' her' − ' him'"; of many pairs, how many."""
    pairs, _ = answers.pairs()
    if len(pairs) == 2 and (pairs[0] == pairs[1][::-1]).all():
        one, other = (quoted(subject.readout.words[int(number)]) for number in pairs[0])
        return f"{one} or {other}, the one that follows − the other"
    if len(pairs) > 1:
        return f"{len(pairs)} pairs of answers"
    words = [quoted(subject.readout.words[int(number)]) for number in pairs[0] if number >= 0]
    return " − ".join(words)

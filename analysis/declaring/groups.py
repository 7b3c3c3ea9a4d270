"""What all studies share: which tokens are looked at, in which groups, and how they are compared.

Options, keys of study files, the table of groups and what decides whether a result is up to date
come from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

from actlas.analysis.declaring.options import COMPARED, WHICH, Options, option
from actlas.analysis.declaring.study import PlannedRun, Study, Subject
from actlas.store.errors import UsageError

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.groups.choice import GroupChoice
    from actlas.analysis.groups.resampling import Resampling
    from actlas.analysis.groups.token_groups import Grouped, TokenGroups

SEEDS = (0, 2**63 - 1)
RESAMPLES = 1000
FIRST_TOKENS = ("leave", "group", "include")


def first_token_option(default: str) -> str:
    """Return the option that says what becomes of first and special tokens."""
    found: str = option(
        default,
        help="Leave the first token of each sentence and special ones out, make them a group, or "
        "include them: the first dwarf all others in many models.",
        choices=FIRST_TOKENS,
        heading=WHICH,
    )
    return found


@dataclass(frozen=True)
class GroupOptions(Options):
    """Which tokens: a word and a control for each of its occurrences, or any named groups."""

    #: whether the study is of the tokens that are named, and of no others
    must_name: ClassVar[bool] = False

    target: str | None = option(
        None,
        help="A word, as a whole word, and a control for each: `can` is not in `can't`.",
        metavar="WORD",
        heading=WHICH,
    )
    group: tuple[str, ...] = option(
        (),
        help="A group of tokens: a word (a|an), text:, regex:, id:, length:, position:, freq: or "
        "COLUMN:, joined by commas, ! for not, @-1 for the token before; may be repeated.",
        metavar="NAME=CONDITION",
        heading=WHICH,
    )
    by: str | None = option(
        None,
        help="A group for each value of this column of the input.",
        metavar="COLUMN",
        heading=WHICH,
    )
    contrast: tuple[str, ...] = option(
        (),
        help="Compare group A with B, or with `rest`; may be repeated.  [default: two groups with "
        "each other, others with the rest]",
        metavar="A:B",
        heading=COMPARED,
    )
    match: str | None = option(
        None,
        help="Draw equally many tokens of the compared groups at every position, length or value "
        "of a column.",
        metavar="position|length|COLUMN",
        heading=COMPARED,
    )
    within: str | None = option(
        None,
        help="Compare within pairs of sentences, which this column names: one token of each group "
        "in a pair, intervals over pairs.",
        metavar="COLUMN",
        heading=COMPARED,
    )
    cluster: str = option(
        "sentence",
        help="Column whose values hang together: intervals are over these, not over tokens.",
        metavar="COLUMN",
        heading=COMPARED,
    )
    first_token: str = first_token_option("leave")
    case: bool = option(False, help="Let upper and lower case of words differ.", heading=WHICH)
    occurrence: str = option(
        "first",
        help="Which target, where a sentence has the word more than once.",
        choices=("first", "last", "all"),
        heading=WHICH,
    )
    pool: str = option(
        "last",
        help="Which token stands for a word of several, or the mean of all.",
        choices=("last", "first", "mean"),
        heading=WHICH,
    )
    control: str = option(
        "previous",
        help="Compare with the token just before the target, a random earlier one, or one at the "
        "same position in another sentence; never with the first of a sentence or a special token.",
        choices=("previous", "random", "matched"),
        heading=COMPARED,
    )
    seed: int = option(0, help="Seed of all that is drawn.", bounds=SEEDS, heading=COMPARED)
    bootstrap: int = option(
        RESAMPLES,
        help="Resamples over clusters for 95 % intervals; 0 for none.",
        bounds=(0, 100_000),
        heading=COMPARED,
    )

    def __post_init__(self) -> None:
        """Raise UsageError for what is no group too; words of lists take the lists' place."""
        from actlas.analysis.groups.grammar import parse_groups, with_words

        super().__post_init__()
        if self.target is not None and not self.target.strip():
            raise UsageError("the target word is empty: give --target WORD")
        resolved = tuple(str(with_words(group)) for group in parse_groups(self.group))
        object.__setattr__(self, "group", resolved)
        if self.must_name and not self.named:
            raise UsageError("no tokens to study: expected --target WORD, --group or --by COLUMN")

    @property
    def named(self) -> bool:
        """Whether any group was asked for."""
        return bool(self.target or self.group or self.by)

    def choice(self, *, every: bool) -> GroupChoice:
        """Return what was chosen, as the selection of tokens takes it.

        every: whether all tokens are a group too.
        """
        from actlas.analysis.data.tokens import Target
        from actlas.analysis.groups.choice import GroupChoice, parse_contrasts
        from actlas.analysis.groups.grammar import parse_groups

        target = None
        if self.target is not None:
            target = Target(
                *(self.target, self.case, self.occurrence, self.pool, self.control, self.seed)  # type: ignore[arg-type]
            )
        return GroupChoice(
            groups=parse_groups(self.group),
            target=target,
            by=self.by,
            contrast=parse_contrasts(self.contrast),
            cluster=self.cluster,
            match=self.match,
            within=self.within,
            first_token=self.first_token,  # type: ignore[arg-type]
            pool=self.pool,  # type: ignore[arg-type]
            case=self.case,
            seed=self.seed,
            every=every,
        )

    def resampling(self, groups: Grouped) -> Resampling | None:
        """Return the clusters that are drawn again, None where no interval is wanted."""
        from actlas.analysis.groups.resampling import resampling

        if not self.bootstrap or not groups.groups:
            return None
        return resampling(groups.clusters, resamples=self.bootstrap, seed=self.seed)


@dataclass(frozen=True)
class NamedOptions(GroupOptions):
    """Of studies of the tokens that are named alone."""

    must_name: ClassVar[bool] = True


@dataclass(frozen=True)
class ReadOptions(GroupOptions):
    """Of studies that read tokens one by one, those of the groups or all."""

    refused: ClassVar[Mapping[str, str]] = {
        "pool": "tokens are read one by one, as they are stored: of a word, its last"
    }


G = TypeVar("G", bound=GroupOptions)


class GroupStudy(Study[G]):
    """A study of groups of tokens; with ``every``, all tokens are a group too."""

    every: ClassVar[bool] = True

    def groups(self, labels: xr.Dataset, options: G) -> TokenGroups:
        """Return the groups of tokens; raises UsageError or TargetError where there are none."""
        from actlas.analysis.groups.selection import chosen_groups

        return chosen_groups(labels, options.choice(every=self.every))

    def check(self, options: G, planned: PlannedRun) -> None:
        """Raise UsageError or TargetError for groups that the sentences do not have."""
        drawn = options.match or options.within or options.contrast
        if options.named or drawn or options.cluster != "sentence":
            self.groups(planned.tokens(), options)

    def words(self, options: G) -> str:
        """Return word, names of groups and column."""
        names = [text.partition("=")[0] for text in options.group]
        return " ".join(filter(None, (options.target, *names, options.by)))

    def compared(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Say which tokens are compared, and what of the model is to be kept in mind."""
        from actlas.analysis.data.sites import heads_in_words

        found = [str(result.attrs[name]) for name in ("selection",) if name in result.attrs]
        if not found and "contrast" in result.dims:
            found = [f"compared are {', '.join(map(str, result['contrast'].values))}"]
        differing = result.attrs.get("heads", {})  # or an option of that name
        heads = heads_in_words(differing) if isinstance(differing, Mapping) else ""
        if heads:
            found.append(f"{heads}: each is measured over the features of its own heads")
        if not subject.causal:
            found.append("the model is not causal: context is what stands before and after a token")
        return [*found, *result.attrs.get("group_notes", [])]


class ReadStudy(GroupStudy[G]):
    """A study that reads the tokens of the named groups alone, and all where none is named."""

    every = False

    def groups(self, labels: xr.Dataset, options: G) -> TokenGroups:
        """Return the named groups, those of all tokens where none is named; raises as above."""
        from actlas.analysis.groups.selection import chosen_groups

        return chosen_groups(labels, options.choice(every=not options.named))

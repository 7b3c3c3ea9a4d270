"""What the page begins with: a few sentences of the results, each with a picture and a link."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from actlas.scripts.reporting.verdicts import FAILS, Verdict

MOST = 6
FEWEST = 3
VIEW = re.compile(r'viewBox="([-\d. ]+)"')


@dataclass(frozen=True)
class Candidate:
    """What a section of the page offers to its beginning.

    stage: of the study. findings: the first is the headline. svg: of the figure that shows it,
    whose ids begin with ``prefix``; None where the result has no figure. small: a small image of
    the figure, where it is no SVG.
    """

    section: str
    stage: str
    heading: str
    findings: tuple[str, ...]
    prefix: str = ""
    svg: Markup | None = None
    small: Markup | None = None


@dataclass(frozen=True)
class Headline:
    """A sentence at the beginning of the page. fails: it is a check that failed."""

    text: str
    section: str
    link: str
    thumbnail: Markup | None = None
    fails: bool = False


def pick_headlines(candidates: Sequence[Candidate], verdicts: Sequence[Verdict]) -> list[Headline]:
    """Return the three to six sentences that the page begins with.

    Checks that failed come first. Then the first finding of each study, in the order of the study
    file; of a study that is there more than once, its first result. Where these are fewer than
    three, the first findings of the other results follow, then the second ones. What holds is said
    in the line of the checks, not here. At most six.
    """
    found = [
        Headline(f"{verdict.claim}: {verdict.why}", verdict.section or "verdicts", "the checks")
        for verdict in verdicts
        if verdict.state == FAILS
    ]
    failed = [Headline(each.text, each.section, each.link, None, True) for each in found]
    first: list[Headline] = []
    later: list[Headline] = []
    stages: set[str] = set()
    for candidate in candidates:
        if not candidate.findings:
            continue
        place = later if candidate.stage in stages else first
        stages.add(candidate.stage)
        place.append(_headline(candidate, 0))
    second = [_headline(each, 1) for each in candidates if len(each.findings) > 1]
    picked = [*failed, *first]
    for more in (*later, *second):
        if len(picked) >= FEWEST:
            break
        picked.append(more)
    return picked[:MOST]


def _headline(candidate: Candidate, place: int) -> Headline:
    small = candidate.small if place == 0 else None
    if small is None and candidate.svg is not None and place == 0:
        small = thumbnail(candidate.svg, candidate.prefix)
    return Headline(candidate.findings[place], candidate.section, candidate.heading, small)


def thumbnail(svg: Markup, prefix: str) -> Markup | None:
    """Return the figure again, small: it refers to the drawing in its section, which it repeats.

    None where the drawing has no outline to refer to.
    """
    view, root = VIEW.search(svg), f'id="{prefix}-figure_1"'
    if view is None or root not in svg:
        return None
    plate = " plate" if 'class="drawing plate"' in svg else ""
    return Markup(
        '<svg class="small{}" viewBox="{}" focusable="false"><use href="#{}-figure_1"/></svg>'
    ).format(plate, view[1], prefix)

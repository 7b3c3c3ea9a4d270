"""English sentences from a seeded grammar: what the demo model is trained on and measured with.

The grammar is made for the question of study 1, how context changes what a model holds for one and
the same word. "Her" is here an object ("Tom gave her the cup") or a possessive ("Tom found her
cup"), and what follows it depends on words further back: on the verb, the place, a mood, a thing
already named. A model that predicts well must carry them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from actlas.scripts.dev.demo_words import (
    COLOURS,
    GAVE,
    GIFTS,
    MEN,
    MET,
    MOVED,
    NEAR,
    OTHERS,
    PASSED,
    RELATIVES,
    SCENES,
    TENDED,
    TIMES,
    TOWARDS,
    WEATHERS,
    WOMEN,
    Person,
)

MIN_WORDS = 5
MAX_WORDS = 25

# Slots: {a}, {b}, {c}: three persons; {r}: a relative; {s}: a scene, {thing} and {errand} of it;
# {o}: another scene.
# A pronoun stands only after the person it speaks of.
OBJECT_CLAUSES = (
    "{a} was {mood}, so {b} {gave} {a.object} {gift}",
    "{a} was {mood} {s.where}, and {b} {gave} {a.object} {gift}",
    "{b} knew that {a} was {mood} and {gave} {a.object} {gift}",
    "{a} asked for the {colour} {thing}, and {b} handed {a.object} the {colour} {thing}",
    "{a} needed the {thing}, so {b} lent {a.object} the {thing} of {c}",
    "{b} {met} {a} {s.where} and helped {a.object} to {errand}",
    "{b} called {a} and asked {a.object} to {errand}",
    "{a} wanted to {errand}, so {b} drove {a.object} to {s.place}",
    "{a} went to {s.place}, and {b} {met} {a.object} there",
    "{b} looked for {a} and {met} {a.object} {s.where}",
    "{b} thanked {a} and gave {a.object} the {thing}",
    "{a} liked {b}, but {b} did not like {a.object} at all",
    "{b} went to {s.place} with {a} and told {a.object} about the {thing}",
    "{a} was late, so {b} waited for {a.object} {s.where}",
    "{b} told {a} to {errand}, but {c} told {a.object} to {other_errand}",
    "{a} sat down {s.where}, and {b} sat {near} {a.object}",
    "{a} wrote to {b}, who answered {a.object} {time}",
    "{a} fell {s.where}, but {b} caught {a.object} in time",
    "{b} wanted {a} to {errand} and paid {a.object} for it",
    "{a} was afraid {s.where}, but {b} never left {a.object} alone",
    "{a} was away, and nobody but {b} knew what to say to {a.object}",
    "{b} ran across the street to {a} and walked {a.object} home",
    "all these people were against {a}, but {b} put {a.object} on the right train",
    "it was {b} who begged {a} to {errand}, and {c} paid {a.object} two times as much",
    "{a} was {s.where}, and {b} {moved} {towards} {a.object}",
    "{b} knew {a} and {moved} {towards} {a.object} {time}",
    "{b} {moved} {towards} {a} and {met} {a.object} again",
    "{b} and {c} {met} {a} {s.where} and followed {a.object} to {o.place}",
)
POSSESSIVE_CLAUSES = (
    "{a} {tended} {a.possessive} {thing} {s.where}",
    "{a} {tended} {a.possessive} {colour} {thing}",
    "{a} was {s.where} and looked for {a.possessive} {thing}",
    "{a} went to {s.place} with {a.possessive} {r} and {tended} {a.possessive} {thing}",
    "{a} {passed} {a.possessive} {thing} to {b}",
    "{a} {passed} {b} {a.possessive} {colour} {thing} {s.where}",
    "{b} told {a} that {a.possessive} {r} was {s.where}",
    "{a} told {b} that {a.possessive} {r} had lost {r.possessive} {thing}",
    "{b} {met} {a} and {a.possessive} {r} {s.where}",
    "{a} was away, so {b} {passed} {a.possessive} {thing} to {c}",
    "{a} asked {a.possessive} {r} to {errand}",
    "{a} came from {s.place} without {a.possessive} {thing}",
    "{a} left {s.place} because {a.possessive} {r} was {mood}",
    "{a} was {mood}, but {a.possessive} {r} was not {mood}",
    "{a} put {a.possessive} {thing} {near} the {other_thing} of {b}",
    "{b} saw the {thing} of {a} and {tended} {a.possessive} {other_thing} too",
    "{a} and {a.possessive} {r} wanted to {errand}",
    "{a} thought of {a.possessive} {r} and {passed} {r.object} the {thing}",
    "{b} broke the {thing}, so {a} gave {b.object} {a.possessive} own {thing}",
    "{a} thought that somebody had stolen {a.possessive} {thing}",
    "{a} took a lamp, some books and {a.possessive} {thing}",
    "{a} lives {s.where}, where {a.possessive} house is much too {colour}",
    "{a} can {errand} and {other_errand}, but we love {a.possessive} {thing}",
    "{a} wore the {thing} to the party of {a.possessive} best friend",
    "{a} talked about the others, and everyone knew {a.possessive} little mistake",
    "{a} sat on {a.possessive} bed {time}",
    "{a} {moved} {towards} {a.possessive} {thing}",
    "{a} {moved} {towards} {a.possessive} {r}",
    "{a} {moved} {towards} the {other_thing} of {a.possessive} {r} {s.where}",
    "{a} found a {colour} key in {a.possessive} {thing}",
)
SUBJECT_CLAUSES = (
    "{a} said that {a.subject} would {errand}",
    "{a} forgot {a.possessive} {thing} because {a.subject} was {mood}",
    "{a} had to {errand} before {a.subject} could {other_errand}",
    "{b} {tended} the {thing} that {a} lost when {a.subject} was {s.where}",
)
KINDS = (OBJECT_CLAUSES, POSSESSIVE_CLAUSES, SUBJECT_CLAUSES)
# What a sentence may begin and end with.
OPENERS = (
    "{time}",
    "{time}",
    "{s.where}",
    "when {weather},",
    "because {weather},",
    "{time}, when {weather},",
)
TAILS = (
    " {time}", " {time}", " because {weather}", " while {c} was {o.where}", " again",
    " very quickly", " alone", ", and {a.subject} smiled", ", and then {a.subject} went home",
    ", and {c} {tended} the {thing}", ", but {a.subject} said nothing",
    ", so {a.subject} went to {o.place}", " and was happy about it", " and never came back",
    " in the end", " from the beginning", ", but {c} was already there", " twice",
    ", but only with {c}",
)  # fmt: skip
JOINTS = (
    ", and then",
    ", but",
    ", and",
    ", so",
    " when",
    " while",
    " until",
    " because",
    " before",
    " and",
    " where",
)
ONCE = ("{time}", "{weather}", "{s.where}", "{s.place}", "{o.where}", "{o.place}")


def slots(rng: random.Random, a: Person, b: Person, c: Person | str) -> dict[str, object]:
    """One consistent choice for every slot.

    All parts of a sentence then speak of the same persons and scene.
    """
    scene, other = rng.sample(SCENES, 2)
    thing, other_thing = rng.sample(scene.things, 2)
    errand, other_errand = rng.sample(scene.errands, 2)
    mood = rng.choice(tuple(GIFTS))
    words = {
        "colour": COLOURS,
        "time": TIMES,
        "weather": WEATHERS,
        "tended": TENDED,
        "passed": PASSED,
        "gave": GAVE,
        "moved": MOVED,
        "towards": TOWARDS,
    }
    return {
        **{"a": a, "b": b, "c": c, "r": rng.choice(RELATIVES), "s": scene, "o": other},
        **{
            "thing": thing,
            "other_thing": other_thing,
            "errand": errand,
            "other_errand": other_errand,
        },
        **{
            "mood": mood,
            "gift": rng.choice(GIFTS[mood]),
            "met": rng.choice(MET),
            "near": rng.choice(NEAR),
        },
        **{name: rng.choice(choices) for name, choices in words.items()},
    }


def _compatible(choices: tuple[str, ...], rest: str) -> list[str]:
    """The choices that do not name a time, a place or the weather a second time."""
    return [part for part in choices if not any(slot in part and slot in rest for slot in ONCE)]


def _clause(rng: random.Random) -> str:
    kind = rng.choices(KINDS, weights=(45, 45, 10))[0]
    return rng.choice(kind)


def _draft(rng: random.Random) -> str:
    """A sentence of any length.

    It is a clause, perhaps with an opener, a tail, or a second clause about the same persons.
    """
    a, b, third = rng.sample(WOMEN + MEN, 3)
    either: tuple[Person | str, ...] = (third, rng.choice(OTHERS))
    c = rng.choice(either)
    template = _clause(rng)
    if rng.random() < 0.5:
        template = f"{rng.choice(_compatible(OPENERS, template))} {template}"
    if rng.random() < 0.5:
        template = f"{template}{rng.choice(_compatible(TAILS, template))}"
    text = template.format_map(slots(rng, a, b, c))
    if rng.random() < 0.25:
        joint = rng.choice(JOINTS)
        text = f"{text}{joint} {_clause(rng).format_map(slots(rng, b, a, c))}"
    return f"{text[0].upper()}{text[1:]}."


def sentences(seed: int) -> Iterator[str]:
    """Endless English sentences of MIN_WORDS to MAX_WORDS words, the same ones for the same seed.

    Every pronoun agrees in gender with a person named earlier in its sentence.
    """
    rng = random.Random(seed)
    while True:
        text = _draft(rng)
        if MIN_WORDS <= len(text.split()) <= MAX_WORDS:
            yield text

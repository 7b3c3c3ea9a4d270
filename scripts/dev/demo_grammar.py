"""English sentences from a seeded grammar: what the demo model is trained on and measured with.

The grammar is made for the question of study 1, how context changes what a model holds for one and the same word.
"Her" is here an object ("Tom gave her the cup") or a possessive ("Tom found her cup"), and what follows it depends on
words further back: on the verb, the place, a mood, a thing already named. A model that predicts well must carry them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MIN_WORDS = 5
MAX_WORDS = 25


@dataclass(frozen=True)
class Person:
    """A name or a relative, with the pronouns that agree with it."""

    name: str
    subject: str
    object: str
    possessive: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Scene:
    """A place, the things one has there and the errands one does there."""

    place: str
    preposition: str
    things: tuple[str, ...]
    errands: tuple[str, ...]

    @property
    def where(self) -> str:
        """The place with its preposition: "in the kitchen"."""
        return f"{self.preposition} {self.place}"


def _women(names: str) -> tuple[Person, ...]:
    return tuple(Person(name, "she", "her", "her") for name in names.split())


def _men(names: str) -> tuple[Person, ...]:
    return tuple(Person(name, "he", "him", "his") for name in names.split())


def _scene(preposition: str, place: str, things: str, *errands: str) -> Scene:
    return Scene(place, preposition, tuple(things.split()), errands)


WOMEN = _women(
    "Mary Anna Lucy Emma Julia Sarah Alice Clara Nora Helen Rosa Laura Eva Kate Maria Jane"
)
MEN = _men("Tom Ben John Peter Paul David Mark Simon Henry James Oscar Leo Max Adam Daniel Robert")
# Persons without a pronoun in the grammar.
OTHERS = (
    "the nurse",
    "the teacher",
    "the doctor",
    "my aunt",
    "an old friend",
    "the crowd",
    "my grandmother",
)
RELATIVES = _women("sister mother daughter aunt") + _men("brother father son uncle")

SCENES = (
    _scene(
        "in",
        "the kitchen",
        "cup spoon apron plate knife",
        "cook the soup",
        "wash the dishes",
        "bake a cake",
    ),
    _scene(
        "in",
        "the garden",
        "rake basket hat gloves",
        "water the roses",
        "pick the apples",
        "feed the birds",
    ),
    _scene(
        "at",
        "the school",
        "pencil notebook lunch ruler",
        "read the story",
        "learn the poem",
        "draw a map",
    ),
    _scene(
        "at",
        "the station",
        "ticket suitcase coat umbrella",
        "catch the train",
        "find the platform",
        "buy a paper",
    ),
    _scene(
        "in",
        "the office",
        "letter desk computer phone",
        "write the report",
        "answer the phone",
        "sign the letter",
    ),
    _scene(
        "on",
        "the beach",
        "towel boat shell camera",
        "swim to the boat",
        "build a castle",
        "look for shells",
    ),
    _scene(
        "at",
        "the market",
        "money bag purse list",
        "buy the bread",
        "sell the fish",
        "carry the bags",
    ),
    _scene(
        "in",
        "the library",
        "book glasses card pen",
        "return the book",
        "find a chair",
        "read the paper",
    ),
    _scene(
        "on",
        "the farm",
        "horse dog boots ladder",
        "feed the horse",
        "milk the cow",
        "repair the fence",
    ),
    _scene(
        "at",
        "the theatre",
        "dress violin guitar mask concert voice",
        "sing the song",
        "practise the dance",
    ),
    _scene(
        "in",
        "the hospital",
        "medicine ring pillow watch",
        "visit a friend",
        "call the doctor",
        "ask the nurse",
    ),
    _scene(
        "in",
        "the park",
        "ball bicycle kite scarf",
        "run to the gate",
        "fly the kite",
        "walk the dog",
    ),
    _scene(
        "at",
        "the hotel",
        "key passport room mirror bathroom window",
        "pay the bill",
        "clean the room",
    ),
    _scene(
        "by",
        "the river",
        "tent net bottle lamp",
        "cross the bridge",
        "catch a fish",
        "light a fire",
    ),
)

# A mood decides the gift, with "her" between the two.
GIFTS: Mapping[str, tuple[str, ...]] = {
    "hungry": ("some bread", "a sandwich", "an apple", "some soup"),
    "thirsty": ("some water", "a glass of milk", "some tea"),
    "cold": ("a blanket", "a warm scarf", "some gloves", "a coat"),
    "tired": ("a chair", "a soft pillow", "some coffee"),
    "bored": ("a new book", "a game", "an old radio"),
    "ill": ("some medicine", "some hot tea", "a soft blanket"),
    "sad": ("some flowers", "a long letter", "a kiss"),
    "lost": ("a map", "the address", "a phone"),
}

COLOURS = ("blue", "red", "green", "old", "new", "small", "big", "black", "white", "favourite", "beautiful",
           "cheap", "heavy", "broken", "yellow", "strange")  # fmt: skip
TIMES = ("yesterday", "today", "on Monday", "on Sunday", "last week", "in the morning", "in the evening",
         "before dinner", "after lunch", "every day", "at noon", "at night", "in the summer", "in the winter",
         "long ago", "a year later", "the next day", "on Friday", "before breakfast", "at midnight",
         "all day", "until late", "for two hours", "the whole evening")  # fmt: skip
WEATHERS = ("it was raining", "it was snowing", "the sun was shining", "the door was open", "the shop was closed",
            "the bus was late", "the lights were out", "nobody was there", "the wind was strong",
            "the street was dark", "the bell rang", "it was very hot",
            "the war was over", "the whole village was afraid", "somebody was at the door",
            "everything was ready")  # fmt: skip
TENDED = ("cleaned", "found", "dropped", "hid", "carried", "lost", "forgot", "painted", "repaired", "took", "loved",
          "opened", "packed", "stole", "wanted", "noticed")  # fmt: skip
PASSED = ("gave", "showed", "sent", "sold", "lent", "brought")
GAVE = ("gave", "brought", "bought", "sent", "offered", "made sure to give")
MET = ("saw", "met", "found", "visited", "joined", "watched", "noticed", "walked past", "talked to")
NEAR = ("behind", "near", "beside", "in front of")
MOVED = ("walked", "ran", "went", "came", "looked", "sat", "drove", "talked", "sang", "read", "waited", "slept",
         "called")  # fmt: skip
TOWARDS = ("with", "behind", "without", "near", "past", "for", "to", "from", "after", "before", "against", "about",
           "under", "across", "like", "because of", "only for", "away from")  # fmt: skip

# Slots: {a}, {b}, {c}: three persons; {r}: a relative; {s}: a scene, {thing} and {errand} of it; {o}: another scene.
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
TAILS = (" {time}", " {time}", " because {weather}", " while {c} was {o.where}", " again", " very quickly", " alone",
         ", and {a.subject} smiled", ", and then {a.subject} went home", ", and {c} {tended} the {thing}",
         ", but {a.subject} said nothing", ", so {a.subject} went to {o.place}", " and was happy about it",
         " and never came back", " in the end", " from the beginning", ", but {c} was already there", " twice",
         ", but only with {c}")  # fmt: skip
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


def _slots(rng: random.Random, a: Person, b: Person, c: Person | str) -> dict[str, object]:
    """One consistent choice for every slot, so that the parts of a sentence speak of the same persons and scene."""
    scene, other = rng.sample(SCENES, 2)
    thing, other_thing = rng.sample(scene.things, 2)
    errand, other_errand = rng.sample(scene.errands, 2)
    mood = rng.choice(tuple(GIFTS))
    words = {"colour": COLOURS, "time": TIMES, "weather": WEATHERS, "tended": TENDED, "passed": PASSED, "gave": GAVE,
             "moved": MOVED, "towards": TOWARDS}  # fmt: skip
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
    """A sentence of any length: a clause, perhaps with an opener, a tail, or a second clause about the same persons."""
    a, b, third = rng.sample(WOMEN + MEN, 3)
    either: tuple[Person | str, ...] = (third, rng.choice(OTHERS))
    c = rng.choice(either)
    template = _clause(rng)
    if rng.random() < 0.5:
        template = f"{rng.choice(_compatible(OPENERS, template))} {template}"
    if rng.random() < 0.5:
        template = f"{template}{rng.choice(_compatible(TAILS, template))}"
    text = template.format_map(_slots(rng, a, b, c))
    if rng.random() < 0.25:
        joint = rng.choice(JOINTS)
        text = f"{text}{joint} {_clause(rng).format_map(_slots(rng, b, a, c))}"
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

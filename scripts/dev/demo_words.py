"""The words of the demo grammar: persons, scenes, gifts, verbs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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

COLOURS = (
    "blue", "red", "green", "old", "new", "small", "big", "black", "white", "favourite",
    "beautiful", "cheap", "heavy", "broken", "yellow", "strange",
)  # fmt: skip
TIMES = (
    "yesterday", "today", "on Monday", "on Sunday", "last week", "in the morning",
    "in the evening", "before dinner", "after lunch", "every day", "at noon", "at night",
    "in the summer", "in the winter", "long ago", "a year later", "the next day", "on Friday",
    "before breakfast", "at midnight", "all day", "until late", "for two hours",
    "the whole evening",
)  # fmt: skip
WEATHERS = (
    "it was raining", "it was snowing", "the sun was shining", "the door was open",
    "the shop was closed", "the bus was late", "the lights were out", "nobody was there",
    "the wind was strong", "the street was dark", "the bell rang", "it was very hot",
    "the war was over", "the whole village was afraid", "somebody was at the door",
    "everything was ready",
)  # fmt: skip
TENDED = (
    "cleaned", "found", "dropped", "hid", "carried", "lost", "forgot", "painted", "repaired",
    "took", "loved", "opened", "packed", "stole", "wanted", "noticed",
)  # fmt: skip
PASSED = ("gave", "showed", "sent", "sold", "lent", "brought")
GAVE = ("gave", "brought", "bought", "sent", "offered", "made sure to give")
MET = ("saw", "met", "found", "visited", "joined", "watched", "noticed", "walked past", "talked to")
NEAR = ("behind", "near", "beside", "in front of")
MOVED = (
    "walked", "ran", "went", "came", "looked", "sat", "drove", "talked", "sang", "read", "waited",
    "slept", "called",
)  # fmt: skip
TOWARDS = (
    "with", "behind", "without", "near", "past", "for", "to", "from", "after", "before",
    "against", "about", "under", "across", "like", "because of", "only for", "away from",
)  # fmt: skip

"""The picture of the rooms shows the rooms that there are."""

from pathlib import Path

from actlas.scripts.dev.rooms import picture, rooms

ROOT = Path(__file__).parents[2]


def test_the_picture_is_current():
    path = ROOT / "docs" / "images" / "rooms.svg"
    drawn = picture()
    assert path.read_text(encoding="utf-8") == drawn, (
        f"{path} is out of date: run `python scripts/dev/rooms.py docs/images/rooms.svg`"
    )


def test_every_room_says_what_it_holds():
    for folder in ("analysis", "pipeline", "scripts", "store"):
        assert all(text.endswith(".") for text in rooms(folder).values()), folder

"""A folder with a file of every sort."""

from tests.everything import copy_of_everything, everything  # noqa: F401 - fixtures

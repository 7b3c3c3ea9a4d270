"""Help: sections, examples that run, and no import of what help has no use for."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from actlas.analysis import registry
from actlas.analysis.declaring.options import COMPARED, COMPUTED, WHICH, WRITTEN
from actlas.scripts.cli import COMMANDS, SECTIONS, STUDIES, load, main, overview
from actlas.scripts.terminal.sections import FEW, PLAIN, SectionedCommand
from tests import commands
from tests.docs.test_command_lines import perform

TEXTS = Path(__file__).parents[3] / "pipeline" / "texts"
HEAVY = ("numpy", "h5py", "xarray", "torch", "pandas", "dask", "matplotlib", "tqdm")
#: help of each command in one process; what it imports that it has no use for
WALK = """
import json, sys
import click
from actlas.scripts.cli import load, main, overview

def helped(command, name, parent):
    context = click.Context(command, info_name=name, parent=parent)
    assert command.get_help(context)
    for below in getattr(command, "commands", {}):
        helped(command.commands[below], below, context)
    heavy = [module for module in sys.argv[1:] if module in sys.modules]
    if heavy:
        print(json.dumps([name, heavy]))
        sys.exit()

root = click.Context(main, info_name="actlas")
assert main.get_help(root)
assert main.shell_complete(root, "v")
for lines in overview().values():
    for name in lines:
        helped(load(name), name, root)
print(json.dumps([]))
"""


def every_command():
    """Yield each command, with the commands below it, by its words."""
    for name in (*COMMANDS, *registry.names()):
        command = load(name)
        yield name, command
        for below, inner in getattr(command, "commands", {}).items():
            yield f"{name} {below}", inner


LEAVES = {
    name: command for name, command in every_command() if not isinstance(command, click.Group)
}
EXAMPLES = [(name, line) for name, command in LEAVES.items() for line in command.examples]


def test_help_and_completion_import_no_libraries():
    done = subprocess.run(
        [sys.executable, "-c", WALK, *HEAVY], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []


def test_the_overview_has_each_command_once_below_its_heading():
    names = [name for lines in overview().values() for name in lines]
    assert len(names) == len(set(names))
    assert sorted(names) == main.list_commands(click.Context(main))
    assert list(overview()[STUDIES]) == [*registry.BUILT_IN]
    said = main.get_help(click.Context(main))
    places = [said.index(f"{heading}:") for heading in SECTIONS]
    assert places == sorted(places)


@pytest.mark.parametrize("name", LEAVES)
def test_every_option_stands_below_a_heading_once(name):
    command = LEAVES[name]
    assert isinstance(command, SectionedCommand)
    assert command.examples
    context = click.Context(command, info_name=name)
    said = command.get_help(context)
    parameters = command.get_params(context)
    options = [each for each in parameters if isinstance(each, click.Option) and not each.hidden]
    for option in options:
        assert len(options) <= FEW or command.heading(option) != PLAIN, option.name
        assert re.search(rf"^  .*{option.opts[-1]}\b", said, re.MULTILINE)
    for line in command.examples:
        assert f"\n  {line}" in said


def test_the_options_of_a_study_are_sorted_by_what_they_say():
    said = load("cosine").get_help(click.Context(load("cosine"), info_name="cosine"))
    headings = (WHICH, COMPARED, COMPUTED, WRITTEN, "Where", "What is printed", "Example")
    places = [said.index(f"\n{heading}:\n") for heading in headings]
    assert places == sorted(places)
    assert places[0] < said.index("--target") < places[1] < said.index("--control") < places[2]
    assert places[2] < said.index("--bins") < places[3] < said.index("--save-matrix") < places[4]


def test_few_options_stand_below_one_heading():
    said = load("ls").get_help(click.Context(load("ls"), info_name="ls"))
    assert re.findall(r"^(\w[\w ]+):$", said, re.MULTILINE) == ["Options", "Example"]


@pytest.mark.parametrize(("name", "line"), EXAMPLES)
def test_examples_are_command_lines(name, line):
    words = shlex.split(line.rpartition("| ")[2])
    assert words[0] == "actlas"
    command, words = main, words[1:]
    while isinstance(command, click.Group):
        command = load(words[0]) if command is main else command.commands[words[0]]
        words = words[1:]
    context = command.make_context(name, words)
    assert context.params


def test_the_last_example_is_of_its_command():
    for name, command in LEAVES.items():
        assert f"actlas {name}" in command.examples[-1]


@pytest.mark.slow
@pytest.mark.timeout(1200)  # forty commands, the demo among them
def test_examples_run_one_after_the_other_in_one_folder(tmp_path):
    (tmp_path / "mine.txt").symlink_to(TEXTS / "her.txt")
    (tmp_path / "gpt2").symlink_to(TEXTS.parent / "demo_model")
    lines = (TEXTS / "her.txt").read_text(encoding="utf-8").splitlines()
    table = "\n".join(["text,kind", *(f'"{line}",a' for line in lines)])
    (tmp_path / "mine.csv").write_text(table, encoding="utf-8")
    assert commands.run(tmp_path, "demo").returncode == 0
    for _, line in EXAMPLES:
        perform(line, tmp_path)

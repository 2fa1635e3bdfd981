"""The help: commands in the order of work, summaries that fit, examples that are commands."""

import click
import pytest
from click.testing import CliRunner

from iwax.cli import iwax as command_line
from iwax.cli.help import EXAMPLES, SECTIONS, Ordered
from parsed import parse

SHOWN = [name for name, command in command_line.commands.items() if not command.hidden]


def shown(*arguments):
    return CliRunner().invoke(command_line, [*arguments, "--help"], terminal_width=80).output


def test_the_help_has_every_command_once_on_one_line_of_80_columns():
    listed = [name for section in SECTIONS.values() for name in section]
    assert sorted(listed) == sorted(SHOWN), "iwax.cli.help.SECTIONS lists every command"
    lines = shown().splitlines()
    width = max(map(len, listed))
    for section in SECTIONS.values():
        for name, summary in section.items():
            (line,) = (line for line in lines if line.startswith(f"  {name} "))
            assert line == f"  {name:{width}}  {summary}"
            assert len(line) <= 80


def test_the_help_is_in_the_order_of_work():
    """Training before judging before sharing, not by the alphabet."""
    text = shown()
    places = [text.index(f"\n  {name} ") for name in ("train", "evaluate", "compare", "sample", "export", "reproduce")]
    assert places == sorted(places)


@pytest.mark.parametrize("name", [name for name, one in command_line.commands.items() if isinstance(one, click.Group)])
def test_the_summaries_of_commands_within_a_command_are_whole(name):
    """None is cut off; click ends a summary of its own making that is too long in dots, as the control has it."""
    assert not [line for line in shown(name).splitlines() if line.startswith("  ") and line.endswith("...")]
    cut = click.Group(name, commands=[click.Command("long", help="word " * 30)])
    assert "..." in CliRunner().invoke(cut, ["--help"], terminal_width=80).output


def test_a_summary_that_does_not_fit_is_seen():
    group = Ordered(commands=[click.Command("train", callback=lambda: None)])
    assert group.commands["train"].short_help == SECTIONS["Train"]["train"]
    assert len(f"  {'reconstruct'}  " + "x" * 70) > 80


@pytest.mark.parametrize("name", SHOWN)
def test_the_help_of_a_command_ends_with_examples_that_are_commands(name):
    """Shown whole, each on a line, and parsed with all their options."""
    text = shown(name)
    assert text.rstrip().endswith(EXAMPLES[name][-1])
    for line in EXAMPLES[name]:
        assert f"\n    {line}\n" in f"{text}\n"
        command = line.removeprefix('eval "$(').removesuffix(')"')
        assert command.split()[1] == name
        assert parse(command).params is not None


def test_an_example_with_an_option_that_is_not_there_would_be_found():
    with pytest.raises(click.NoSuchOption):
        parse("iwax evaluate runs/iwae --samples 10")

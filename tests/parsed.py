"""Lines of pages and help as commands: parsed with all their options, not run, and no file of theirs need be there."""

import shlex
from unittest import mock

import click

from iwax.cli import iwax as command_line
from iwax.cli.kinds import Run


def parse(line):
    """The context of the command of a line, such as "iwax evaluate runs/one  # a remark"; an error if it is none."""
    words = shlex.split(line, comments=True)
    assert words[0] == "iwax"
    any_path = {"convert": lambda self, value, parameter, context: value}
    with mock.patch.multiple(click.Path, **any_path), mock.patch.multiple(Run, **any_path):
        return _within(command_line, words[1:])


def _within(group, words):
    name, *arguments = words
    command = group.commands[name]
    context = command.make_context(name, arguments)
    if isinstance(command, click.Group) and arguments and arguments[0] in command.commands:
        return _within(command, arguments)
    return context

"""The options of commands that hand their work to an executor, and what they say while it works."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from iwax.console import ProgressBar, notices

__all__ = ["EXECUTOR", "check_no_executor", "executor_of", "executor_options", "failed_lines", "watched"]

EXECUTOR = ("workers", "cores", "gpus", "address", "minutes")
"""What `executor_of` takes of a command's options, beside the executor's name."""

OWNERS = {"address": "ray", "minutes": "slurm"}
"""The options of one executor alone."""


def executor_options(default: str | None) -> Callable[[Callable], Callable]:
    """The options that say where tasks run; without a `default`, none runs anywhere unless --executor asks for it."""
    options = [
        click.option(
            "--executor",
            default=default,
            show_default=default is not None,
            metavar="NAME",
            help="Where: local (processes of this machine), ray (a Ray cluster) or slurm (through submitit).",
        ),
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            metavar="N",
            help="Tasks at a time; if left out as many as there are GPUs, or else cores, for.",
        ),
        click.option(
            "--cores",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="Cores of each task: sums are divided among them, so that they are part of the last bits.",
        ),
        click.option(
            "--gpus",
            type=click.FloatRange(min=0),
            help="GPUs of each task, such as 0.25 for a share; if left out 1 of `local` where there are some, else 0.",
        ),
        click.option("--address", help="Of a Ray cluster: auto or HOST:PORT; a new one here if left out."),
        click.option(
            "--time",
            "minutes",
            type=click.IntRange(min=1),
            metavar="MINUTES",
            help="Of each Slurm job; 60 if left out.",
        ),
        click.option(
            "--max-failures", type=click.IntRange(min=1), metavar="N", help="Start no more after N have failed."
        ),
    ]

    def decorate(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def check_no_executor(*others: str) -> None:
    """Raises UsageError where options of an executor, or `others` that go with one, are given to a command without."""
    context = click.get_current_context()
    names = {*EXECUTOR, "max_failures", *others}
    for option in context.command.params:
        if option.name in names and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
            owner, flag = OWNERS.get(option.name, "NAME"), option.opts[0]
            where = "local, ray or slurm" if owner == "NAME" else owner
            raise click.UsageError(
                f"Expected {flag} together with --executor {owner}; got it without. "
                f"Add --executor {where}, or leave {flag} out."
            )


def executor_of(folder: Path, options: dict[str, Any]) -> Any:
    """The executor that options of a command ask for; raises UsageError for those that it does not have."""
    from iwax.sweeps import make_executor

    name = options["executor"]
    for option, flag in (("address", "--address"), ("minutes", "--time")):
        if options[option] is not None and name != OWNERS[option]:
            raise click.UsageError(f"Expected {flag} together with --executor {OWNERS[option]}; got it with {name}.")
    return make_executor(name, folder, **{option: options[option] for option in EXECUTOR})


def watched(task: str) -> tuple[ProgressBar, Callable[[str], None]]:
    """A bar over tasks, and what writes a line above it."""
    bar = ProgressBar(task)
    return bar, lambda message: bar.bar.console.print(message, markup=False, highlight=False, soft_wrap=True)


def failed_lines(outcome: Any) -> list[str]:
    """What is to be said of tasks that were given up, or not started."""
    lines = [f"  {failed.name}: {failed.reason}\n    Its log: {failed.log}" for failed in outcome.failed]
    if outcome.left:
        lines.append(f"  {len(outcome.left)} were not started, since {len(outcome.failed)} had failed.")
    return lines


def say(message: str) -> None:
    """A line on the standard error."""
    notices.print(message, markup=False)

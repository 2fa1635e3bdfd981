"""Options that several commands share."""

import dataclasses
from collections.abc import Callable
from typing import Any, get_type_hints

import click

from iwax.cli.kinds import kind_of
from iwax.runs import OPTION_NAMES, RunConfig

__all__ = [
    "checkpoint_option",
    "config_options",
    "data_dir_option",
    "iwae_samples_option",
    "json_option",
    "num_images_option",
]

data_dir_option = click.option(
    "--data-dir",
    "--data",
    "data_dir",
    type=click.Path(),
    help="Folder of data sets, before all other sources; or where the data of your own are now, if they were moved.",
)


def num_images_option(help: str, *aliases: str, **more: Any) -> Callable:
    """How many test images, the first of them; `--test-images` is the option's former name."""
    return click.option("--num-images", "--test-images", *aliases, "num_images", type=int, help=help, **more)


iwae_samples_option = click.option(
    "--iwae-samples",
    type=int,
    multiple=True,
    default=(64,),
    show_default=True,
    help="K of IWAE-K from the same samples; may be given several times, and the first gives -KL(Q||P).",
)
checkpoint_option = click.option(
    "--checkpoint",
    type=click.Choice(["best", "last"]),
    help="Which checkpoint: the best by the validation images, or the last.  [default: best, where the run keeps it]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def config_options(command: Callable) -> Callable:
    """One option for each field of RunConfig."""
    hints = get_type_hints(RunConfig)
    for field in reversed(dataclasses.fields(RunConfig)):
        kind = next(t for t in getattr(hints[field.name], "__args__", (hints[field.name],)) if t is not type(None))
        names = OPTION_NAMES.get(field.name, ("--" + field.name.replace("_", "-"),))
        command = click.option(
            *names,
            field.name,
            type=kind_of(field.name, kind),
            is_flag=field.metadata.get("flag", False),
            default=None,
            help=field.metadata["help"] + ("" if field.default is None else f"  [default: {field.default}]"),
        )(command)
    return command

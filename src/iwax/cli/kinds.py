"""Kinds of arguments: those with choices are refused by name, and completed, before JAX is imported."""

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from iwax.checks import check_choice, names_beside, nearest
from iwax.errors import IwaxError
from iwax.runs import CHOICES

__all__ = ["RUN", "Chosen", "check_dataset", "kind_of"]

OPEN = {"model": ", or your own: FILE.py:FUNCTION", "dataset": ", or a path to your own"}  # which take files, too
NAMES = {"protocol": "recipe"}  # of fields that are called otherwise than their option


class Chosen(click.ParamType):
    """One of a few words; of an open field, or a path."""

    name = "choice"

    def __init__(self, field: str) -> None:
        self.field, self.choices, self.is_open = field, CHOICES[field], field in OPEN

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "NAME|PATH" if self.is_open else "NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if self.field == "model" and not _is_path(str(value)):
            check_open(self.field, value)
        if not self.is_open:
            check_choice(NAMES.get(self.field, self.field), value, self.choices)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found = [CompletionItem(choice) for choice in self.choices if choice.startswith(incomplete)]
        return found + ([CompletionItem(incomplete, type="file")] if self.is_open else [])


class Run(click.Path):
    """The folder of a run; what is none is refused before anything is imported that could read it."""

    name = "run"

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(str(super().convert(value, param, ctx)))
        if not path.exists() and not str(value).startswith("hf:"):
            trained = [file.stem for file in (Path(__file__).parent.parent / "trained").glob("*.json")]
            if str(value) not in trained:
                near = nearest(value, trained, otherwise="") or nearest(path.name, names_beside(path), otherwise="")
                raise IwaxError(f"Expected RUN to be the folder of a run; {path} is not there.{near}")
        return path


RUN = Run()


def kind_of(field: str, kind: type) -> click.ParamType | type:
    """What reads the option of a field of a configuration: its choices, if it has some, else its type."""
    return Chosen(field) if field in CHOICES else kind


def check_dataset(name: str | None, data_dir: str | None) -> None:
    """Raises ValueError for a name of no data set that cannot be a path either; in `data_dir` anything may be."""
    if name is not None and data_dir is None and not _is_path(name):
        check_open("dataset", name)


def check_open(field: str, value: str) -> None:
    """Raises ValueError for a word that is none of the choices of an open field."""
    if value not in CHOICES[field]:
        here, where = [], ""
        if field == "dataset":  # a word may be the name of what is in this folder
            here, where = names_beside(value), ", which is not there"
        raise IwaxError(
            f"Expected {field} to be one of {', '.join(CHOICES[field])}{OPEN[field]}; got {value!r}{where}."
            f"{nearest(value, [*CHOICES[field], *here])}"
        )


def _is_path(value: str) -> bool:
    """Whether it is there, or is written as a path is: with a folder or the end of a file's name."""
    return "/" in value or "\\" in value or "." in value or Path(value).exists()

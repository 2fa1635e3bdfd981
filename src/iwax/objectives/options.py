"""The options of an objective: what its constructor takes, in the words of its own fields.

They are the one source of the options of `iwax train`, of the keys of config.json and of records, and of the words by
which reports tell runs apart. A field says what it is in its metadata:

- "help": what the command line says of it;
- "label": how a report words a value, such as "γ {}"; the option's name and the value if left out;
- "option": the constructor's name for it, where that is not the field's (CIWAE's beta is kept as `beta_parameter`).
"""

import dataclasses
import functools
import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

from iwax.errors import IwaxTypeError
from iwax.objectives.abstract import AbstractObjective

__all__ = ["Option", "every_option", "options"]

KINDS = (int, float, str, bool)
FIRST = ("num_groups", "num_samples")  # M and K, then what an objective has of its own, then what all have in common


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of an objective."""

    name: str
    kind: type
    """int, float, str or bool; float for an array."""
    default: Any
    help: str
    label: str
    """How a report words a value, which stands where the braces are."""
    is_array: bool
    """Whether runs that differ in nothing else can share a program."""

    def words(self, value: Any) -> str:
        """A value as reports word it.

        >>> from iwax.objectives import OBJECTIVES
        >>> options(OBJECTIVES["ovis"])["gamma"].words(0.5)
        'γ 0.5'
        """
        return self.label.format(f"{value:g}" if isinstance(value, float) else value)


@functools.cache
def options(objective: type[AbstractObjective]) -> dict[str, Option]:
    """Name -> option, for every argument of an objective's constructor.

    Raises:
        TypeError: an argument that no field explains, or of a type that the command line cannot read.
    """
    fields, hints = _explained(objective), get_type_hints(objective)
    found = {}
    for name, parameter in inspect.signature(objective).parameters.items():
        if name not in fields:
            raise IwaxTypeError(
                f"Expected every option of {objective.__name__} to have a field with metadata={{'help': ...}}; "
                f"got none for {name}."
            )
        metadata = fields[name].metadata
        label = metadata.get("label", name.replace("_", " ") + " {}")
        hint = hints[fields[name].name]
        kind, is_array = _kind(objective, name, hint), _is_array(hint)
        found[name] = Option(name, kind, parameter.default, metadata["help"], label, is_array)
    return found


def every_option(objectives: Mapping[str, type[AbstractObjective]]) -> dict[str, Option]:
    """The options of all objectives in one table; the help of those that not all have says which have them.

    Raises:
        TypeError: two objectives have an option of one name and different types.
    """
    users: dict[str, dict[str, Option]] = {}
    for key, objective in objectives.items():
        for name, option in options(objective).items():
            users.setdefault(name, {})[key] = option
    common = [name for name in users if len(users[name]) == len(objectives) and name not in FIRST]
    own = [name for name in users if name not in (*FIRST, *common)]
    ordered = [*(name for name in FIRST if name in users), *own, *common]
    return {name: _merged(name, users[name], len(objectives)) for name in ordered}


def _merged(name: str, users: Mapping[str, Option], count: int) -> Option:
    first = next(iter(users.values()))
    kinds = {key: option.kind.__name__ for key, option in users.items()}
    if len(set(kinds.values())) > 1:
        raise IwaxTypeError(f"Expected the option {name} to have one type in all objectives; got {kinds}.")
    said: dict[str, list[str]] = {}
    for key, option in users.items():
        said.setdefault(option.help, []).append(key)
    if len(said) == 1 and len(users) == count:
        return first
    parts = [f"{help.rstrip('.')} ({', '.join(keys)})" for help, keys in said.items()]
    return dataclasses.replace(first, help="; ".join(parts) + ".")


def _explained(objective: type[AbstractObjective]) -> dict[str, dataclasses.Field]:
    """Option -> the field that explains it: the latest along the line of classes that has a help text."""
    classes = [cls for cls in reversed(objective.__mro__) if dataclasses.is_dataclass(cls)]
    fields = [field for cls in classes for field in dataclasses.fields(cls) if "help" in field.metadata]
    return {field.metadata.get("option", field.name): field for field in fields}


def _kind(objective: type[AbstractObjective], name: str, hint: Any) -> type:
    members = [member for member in getattr(hint, "__args__", (hint,)) if member is not type(None)]
    for kind in KINDS:
        if members == [kind]:
            return kind
    if _is_array(hint):
        return float
    raise IwaxTypeError(
        f"Expected {name} of {objective.__name__} to be int, float, str, bool or an array; got {hint}. "
        "The command line reads nothing else."
    )


def _is_array(hint: Any) -> bool:
    return hasattr(hint, "array_type")  # jaxtyping's

"""What a file holds, with the types that it must have: a value, or one line that names the file. No JAX here.

A type is one of Python's own (`str`, `int`, `float`, `bool`, `list[str]`, `dict[str, float | None]`), `Count`, or a
`typing.TypedDict` of such; keys that a TypedDict does not name are let pass, as those of other versions are.
"""

import functools
import operator
import os
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints, is_typeddict

from iwax.errors import IwaxError
from iwax.files import loads, read_text

__all__ = ["Count", "check_type", "read_lines", "read_typed", "typed", "types_of"]

Count = NewType("Count", int)
"""An integer of at least 0, for `check_type`."""

LONGEST = 60  # characters of a value in a message
LARGEST = sys.float_info.max  # beyond which an integer is no number to calculate with
WORDS = {str: "text", int: "an integer", float: "a number", bool: "true or false", type(None): "null"}


def read_typed(path: str | os.PathLike[str], kind: Any, remedy: str = "") -> Any:
    """The value of a JSON file of the type `kind`.

    Arguments:
        remedy: what to do about a file that is damaged; the end of the message.

    Raises:
        IwaxError: the file cannot be read, is no JSON, or holds something else; it names the file.
    """
    return typed(read_text(path), kind, str(path), remedy)


def read_lines(path: str | os.PathLike[str], kind: Any, remedy: str = "") -> list[Any]:
    """The values of a .jsonl file, each of the type `kind`; a last line without its end is left out.

    Raises:
        IwaxError: as `read_typed`; it names the line, too.
    """
    lines = read_text(path).split("\n")[:-1]
    return [typed(line, kind, f"line {i} of {path}", remedy) for i, line in enumerate(lines, 1)]


def check_type(value: Any, kind: Any, what: str) -> None:
    """Raises IwaxError, which calls the value `what`, unless it is of the type `kind`.

    >>> check_type({"seconds": 2, "notes": ["a", 3]}, dict[str, float | list[str]], "status.json")
    Traceback (most recent call last):
        ...
    iwax.errors.IwaxError: Expected item 2 of notes of status.json to be text; got 3.
    """
    if not _fits(kind)(value):
        raise IwaxError(_problem(value, kind, what))


def typed(text: str, kind: Any, what: str, remedy: str = "") -> Any:
    """The value of a text of JSON, called `what`, as `read_typed` gives that of a file.

    Raises:
        IwaxError: it is no JSON, or holds something else.
    """
    try:
        value = loads(text, what)
        check_type(value, kind, what)
    except IwaxError as error:
        raise IwaxError(f"{error} {remedy}".strip()) from error
    return value


@functools.cache
def _fits(kind: Any) -> Callable[[Any], bool]:
    """A function that says whether a value is of a type, as `_problem` does, ten times as fast, and without words."""
    if kind is Any:
        return lambda value: True
    if is_typeddict(kind):
        fields, needed = {name: _fits(hint) for name, hint in types_of(kind).items()}, kind.__required_keys__
        return lambda value: (
            isinstance(value, Mapping)
            and needed <= value.keys()
            and all(fits(value[name]) for name, fits in fields.items() if name in value)
        )
    origin, inner = get_origin(kind), [_fits(one) for one in get_args(kind)]
    if origin in (Union, types.UnionType):
        return lambda value: any(fits(value) for fits in inner)
    if origin is list:
        return lambda value: isinstance(value, list) and all(map(inner[0], value))
    if origin is tuple:
        return lambda value: (
            isinstance(value, list) and len(value) == len(inner) and all(map(operator.call, inner, value))
        )
    if origin is dict:
        return lambda value: isinstance(value, Mapping) and all(map(inner[1], value.values()))
    return functools.partial(_is, kind=origin or kind)


def _problem(value: Any, kind: Any, what: str) -> str:
    """The message for a value of another type; "" for one of the type."""
    if kind is Any:
        return ""
    if is_typeddict(kind):
        return _problem_of_fields(value, kind, what)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        problems = [_problem(value, one, what) for one in inner]
        nested = [p for p, one in zip(problems, inner, strict=True) if type(value) is (get_origin(one) or one)]
        return "" if "" in problems else (nested or [_expected(what, kind, value)])[0]
    if origin is list and isinstance(value, list):
        return next(filter(None, (_problem(v, inner[0], f"item {i} of {what}") for i, v in enumerate(value, 1))), "")
    if origin is tuple and isinstance(value, list) and len(value) == len(inner):
        parts = enumerate(zip(value, inner, strict=True), 1)
        return next(filter(None, (_problem(v, one, f"item {i} of {what}") for i, (v, one) in parts)), "")
    if origin is dict and isinstance(value, Mapping):
        return next(filter(None, (_problem(v, inner[1], f"{name} of {what}") for name, v in value.items())), "")
    return "" if _is(value, origin or kind) else _expected(what, kind, value)


def _problem_of_fields(value: Any, kind: Any, what: str) -> str:
    if not isinstance(value, Mapping):
        return f"Expected {what} to be an object of JSON; got {_short(value)}."
    hints = types_of(kind)
    for name in hints:
        if name not in value:
            if name in kind.__required_keys__:
                return f"Expected {what} to have {name}; got {_short(list(value)) if value else 'nothing'}."
        elif problem := _problem(value[name], hints[name], f"{name} of {what}"):
            return problem
    return ""


def types_of(kind: Any) -> dict[str, Any]:
    """Field -> type of a TypedDict or a dataclass; to be read only."""
    return _hints(kind)


_hints = functools.cache(get_type_hints)


def _is(value: Any, kind: Any) -> bool:
    """Whether a value of JSON is of a plain type: true is no number, and an integer is one that a float can hold."""
    if type(value) is float:  # what most values are
        return kind is float
    if kind in (int, float, Count):
        if isinstance(value, bool) or not isinstance(value, int | (float if kind is float else int)):
            return False
        return abs(value) <= LARGEST if kind is float and isinstance(value, int) else kind is not Count or value >= 0
    return isinstance(value, kind)


def _expected(what: str, kind: Any, value: Any) -> str:
    return f"Expected {what} to be {_words(kind)}; got {_short(value)}."


def _words(kind: Any) -> str:
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(map(_words, get_args(kind)))
    if kind is Count:
        return "an integer of at least 0"
    if is_typeddict(kind) or (get_origin(kind) or kind) is dict:
        return "an object of JSON"
    if get_origin(kind) is tuple:
        return f"a list of {len(get_args(kind))}"
    return "a list" if (get_origin(kind) or kind) is list else WORDS.get(kind, str(kind))


def _short(value: Any) -> str:
    """A value in few letters."""
    text = ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else repr(value)
    text = text if isinstance(value, str) or not isinstance(value, Sequence) else f"[{text}]"
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."

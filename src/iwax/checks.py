"""Checks of arguments, with messages that name the argument, the rule and the value."""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Never, TypeVar

from iwax.errors import IwaxError, UnknownNameError

__all__ = [
    "LARGEST",
    "MOST_SEEDS",
    "Named",
    "check_choice",
    "check_positive_integer",
    "check_seed",
    "is_number",
    "names_beside",
    "nearest",
]

LARGEST = 2**31 - 1  # of counts and sizes, which are 32 bits wide on a device
LARGEST_SEED = 2**32 - 1
ABBREVIATIONS = {  # of the field's papers, for names that iwax writes out
    "dreg": "doubly-reparameterized",
    "stl": "sticking-the-landing",
    "pathwise": "reparameterized",
    "reinforce": "score-function",
    "vae": "elbo",
}
MOST_SEEDS = 10_000  # of one configuration in one command, which makes a run of each before it trains the first
V = TypeVar("V")


class Named(dict[str, V]):
    """A table by name, which says of a name that it does not have what it has, and which of it is nearest."""

    def __missing__(self, name: Any) -> Never:
        raise UnknownNameError(f"Expected one of {', '.join(self)}; got {name!r}.{nearest(name, self)}")


def check_choice(name: str, value: Any, choices: Iterable[str], of: str = "") -> None:
    """Raises ValueError unless `value` is one of `choices`, those `of` what has them; the message names the nearest."""
    choices = list(choices)
    if value not in choices:
        among = ", ".join(choices) + (f" for {of}" if of else "")
        raise IwaxError(f"Expected {name} to be one of {among}; got {value!r}.{nearest(value, choices)}")


def check_positive_integer(name: str, value: Any, least: int = 1, most: int = LARGEST) -> None:
    """Raises ValueError unless `value` is an integer of at least 1 (or `least`), and at most what counts go up to."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        raise IwaxError(f"Expected {name} to be an integer of at least {least}; got {value!r}.")
    if value > most:
        raise IwaxError(f"Expected {name} to be an integer of at most {most}; got {value!r}.")


def is_number(value: Any) -> bool:
    """Whether a value is a single number, Python's or an array's; text and truth values are none."""
    return hasattr(value, "__float__") and not getattr(value, "ndim", 0) and not isinstance(value, bool)


def check_seed(value: Any, name: str = "seed") -> None:
    """Raises ValueError for a seed that is none of the 2^32 that there are: JAX would take another in its place."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 <= value <= LARGEST_SEED:
        raise IwaxError(f"Expected {name} to be an integer from 0 to {LARGEST_SEED}; got {value!r}.")


def names_beside(path: str | os.PathLike[str]) -> list[str]:
    """What is in the folder in which `path` would be, by name, in order; [] where there is no such folder."""
    folder = Path(path).parent
    return sorted(place.name for place in folder.iterdir()) if folder.is_dir() else []


def nearest(value: Any, choices: Iterable[str], otherwise: str = " Choose one of these.") -> str:
    """' Did you mean ...?', or `otherwise` where nothing is near."""
    by_lower = {choice.lower(): choice for choice in choices}
    name = str(value).lower().replace("_", "-")
    name = ABBREVIATIONS.get(name, name)
    near = difflib.get_close_matches(name, by_lower, n=1)
    return f" Did you mean {by_lower[near[0]]!r}?" if near else otherwise

"""The parts of a data set by the names that folders, files and arrays have for them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

from iwax.errors import IwaxError

PARTS = {  # names, in any case
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
}
WHOLE = "data"
"""The part that is all there is, of which some is drawn for testing."""

_OF_ARRAYS = re.compile(r"(?:(?:x|images?|data)_)?([a-z]+?)(?:_(?:x|images?|data))?")

Named = TypeVar("Named")


def part_of(name: str) -> str | None:
    """Which part of a data set a folder or a file is by its name: "train", "test", "validation", or None."""
    return PARTS.get(name.lower())


def part_of_array(name: str) -> str | None:
    """The same of an array in a .npz: also x_train, train_images and their like; never labels.

    >>> [part_of_array(name) for name in ("x_train", "test_images", "Val", "y_train", "train_labels")]
    ['train', 'test', 'validation', None, None]
    """
    match = _OF_ARRAYS.fullmatch(name.lower())
    return part_of(match[1]) if match else None


def by_part(found: Iterable[tuple[str | None, Named]]) -> dict[str, Named] | None:
    """Part -> what is it by its name; None unless training and test are one each, and validation one at most."""
    named = [(part, value) for part, value in found if part is not None]
    parts = dict(named)
    return parts if len(parts) == len(named) and {"train", "test"} <= parts.keys() else None


def left_out(names: Iterable[str], where: object) -> list[str]:
    """The notice of what is there and not used, or none."""
    names = list(names)
    return [f"Neither trained nor tested on: {', '.join(names)} of {where}."] if names else []


def not_two_parts(where: object, what: str, names: Iterable[str]) -> IwaxError:
    """What to raise where a part of a data set is there without the other one, or twice."""
    return IwaxError(
        f"Expected {where} to have one {what} for training and one for testing; got {', '.join(names)}. Name them "
        "`train` and `test`, or give one of them alone."
    )

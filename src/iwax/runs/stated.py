"""What a checkpoint states of itself in its header. Its arrays are not read, and who only lists runs waits for no JAX.

It is read as safetensors has its format: eight bytes for the length of the header, little end first, the header in
JSON, and the arrays, whose places in the rest of the file it has.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

from iwax.errors import IwaxError
from iwax.files import UnreadableError, loads

__all__ = ["Stated", "read_stated", "stated_checksum"]

LONGEST_HEADER = 100_000_000  # bytes, of a safetensors file
LENGTH = 8  # bytes, of the header's length
WRONG = (OSError, ValueError, LookupError, TypeError, AttributeError)
"""What comes of a file that is none, or has another header."""


class Stated(NamedTuple):
    """The checksum of a checkpoint's content, and the shape of each of its arrays, by path in the pytree."""

    sha256: str
    shapes: dict[str, tuple[int, ...]]


def stated_checksum(path: Path) -> str | None:
    """The checksum of its content that a checkpoint states; None for a file that states none."""
    try:
        return _checksum(_header(path)[0], path)
    except WRONG:
        return None


def read_stated(path: Path) -> Stated:
    """What a checkpoint states, if the file is as long as that says; whether its numbers are whole is not looked at.

    Raises:
        IwaxError: it is cut off, or no checkpoint; it names the file.
    """
    try:
        header, begin = _header(path)
        sha256 = _checksum(header, path)
        arrays = {name: array for name, array in header.items() if name != "__metadata__"}
        shapes = {name: tuple(map(int, array["shape"])) for name, array in arrays.items()}
        wanted = begin + max((array["data_offsets"][1] for array in arrays.values()), default=0)
        there = os.path.getsize(path)
    except UnreadableError:
        raise
    except WRONG as error:
        raise IwaxError(f"Expected {path} to be a whole checkpoint; it cannot be read ({error!r}).") from error
    if sha256 is None:
        raise IwaxError(f"Expected {path} to be a checkpoint of iwax; it is another safetensors file.")
    if there != wanted:
        raise IwaxError(f"Expected {path} to be a whole checkpoint of {wanted} bytes; got {there}.")
    return Stated(sha256, shapes)


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header, and where the arrays begin."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(LENGTH), "little")
        return loads(file.read(min(length, LONGEST_HEADER)).decode(), path), LENGTH + length


def _checksum(header: dict[str, Any], path: Path) -> str | None:
    found = loads(header["__metadata__"]["iwax"], path)["sha256"]
    return found if isinstance(found, str) else None

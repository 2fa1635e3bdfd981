"""Files written whole, and JSON as its standard has it (RFC 8259): what is not finite is `null`. No JAX here.

Every file that iwax writes goes through `write_whole` or `append_line`: what fails leaves the file that was there, and
says which it was. A new file has the permissions that the user's umask leaves it.

Python's own `json` writes NaN and Infinity, which browsers, jq, and most other programs refuse to read. All that iwax
writes or prints goes through here; finite values come out as `json.dumps` has them, to the byte.
"""

import contextlib
import json
import math
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from iwax.errors import IwaxError, NotWritableError

__all__ = [
    "PART",
    "UnreadableError",
    "append_line",
    "dumps",
    "loads",
    "make_folder",
    "read_json",
    "read_text",
    "sync_folder",
    "write_whole",
    "writing",
]

PLAIN = {str, int, bool}  # which are JSON's as they are
PART = ".part"  # how the name of a file ends that is being written; it begins with a dot


def dumps(value: Any, *, default: Callable[[Any], Any] | None = None, **options: Any) -> str:
    """The JSON of a value: null for floats that are not finite; numbers and arrays of NumPy and JAX as Python's.

    Arguments:
        value: what is to be written.
        default: makes plain values of what is neither JSON's nor an array, as in `json.dumps`.
        options: further options of `json.dumps`.

    Raises:
        TypeError: something that JSON does not have.

    >>> dumps({"error": float("nan"), "bound": -86.76, "curve": (1.0, float("-inf"))})
    '{"error": null, "bound": -86.76, "curve": [1.0, null]}'
    """

    def plain(value: Any) -> Any:
        if hasattr(value, "tolist"):
            return _finite(value.tolist())
        if default is None:
            raise TypeError(f"Expected values that JSON has; got {type(value).__name__}: {value!r}.")
        return _finite(default(value))

    return json.dumps(_finite(value), default=plain, allow_nan=False, **options)


def loads(text: str, origin: object = "text") -> Any:
    """The value of JSON text; IwaxError, which names `origin`, for text that is none.

    >>> loads('{"error": null}')
    {'error': None}
    """
    try:
        value = json.loads(text)
        if "\\u" in text:
            dumps(value, ensure_ascii=False).encode()  # half of a pair of surrogates is no text
    except RecursionError as error:
        raise IwaxError(f"Expected {origin} to be JSON; got one that is nested too deeply.") from error
    except ValueError as error:
        raise IwaxError(f"Expected {origin} to be JSON; got {error}.") from error
    return value


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file in UTF-8; IwaxError for bytes that are none, and for a file that cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise IwaxError(f"Expected {path} to be text in UTF-8; got {error}.") from error
    except OSError as error:
        raise UnreadableError(f"Expected {path} to be a readable file; got {error.strerror or error}.") from error


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value of a JSON file. Raises as `read_text` and `loads`."""
    return loads(read_text(path), path)


def write_whole(path: str | os.PathLike[str], content: str | bytes, *, on_disk: bool = True) -> None:
    """Write a file whole or not at all: a hidden one beside it, `.NAME.*.part`, takes its name once it is on the disk.

    Arguments:
        on_disk: False does not wait for the disk, so that only a loss of power may leave a part, or nothing.

    Raises:
        NotWritableError: no permission, no space left, or no such folder; then nothing is left of it.
    """
    path, content = Path(path), content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
    with writing(path):
        try:
            with open(temporary, "xb") as file:
                file.write(content)
                file.flush()
                if on_disk:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
            if on_disk:
                sync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def append_line(path: str | os.PathLike[str], line: str) -> None:
    """Add a line to a file, which is made if there is none; a line of which a part fitted only is taken back.

    Raises:
        NotWritableError: as `write_whole`.
    """
    with writing(path), open(path, "ab", buffering=0) as file:
        before = file.tell()
        try:
            content = line.encode() + b"\n"
            while content:  # the system may take less than it is given
                content = content[file.write(content) :]
            os.fsync(file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                file.truncate(before)
            raise


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder and those above it, if they are not there.

    Raises:
        NotWritableError: it cannot be made.
    """
    with writing(path):
        Path(path).mkdir(parents=True, exist_ok=True)


def sync_folder(path: str | os.PathLike[str]) -> None:
    """See to it that the names in a folder outlive a loss of power, where the system can: not on Windows.

    What cannot be synced is whole all the same, and in its place: there is nothing to take back, and no error.
    """
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """A context whose OSError becomes NotWritableError, which says in one line what could not be written, and why."""
    try:
        yield
    except NotWritableError:
        raise
    except OSError as error:
        raise NotWritableError(
            f"Expected to be able to write {os.fspath(path)}; got {error.strerror or error}. Free some space, or "
            "choose another folder."
        ) from error


class UnreadableError(IwaxError, OSError):
    """A file that cannot be read: it is not there, is a folder, or is not ours to read."""


def _finite(value: Any) -> Any:
    """The same, with None for every float that is not finite."""
    if value is None or type(value) in PLAIN:  # what most are
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_finite(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value

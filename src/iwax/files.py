"""Files written whole, and JSON as its standard has it (RFC 8259): what is not finite is `null`. No JAX here.

Python's own `json` writes NaN and Infinity, which browsers, jq, and most other programs refuse to read. All that iwax
writes or prints goes through here; finite values come out as `json.dumps` has them, to the byte.
"""

import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from iwax.errors import IwaxError

__all__ = ["dumps", "loads", "read_json", "read_text", "write_whole"]


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
        return json.loads(text)
    except ValueError as error:
        raise IwaxError(f"Expected {origin} to be JSON; got {error}.") from error


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file in UTF-8; IwaxError for bytes that are none, OSError for a file that cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise IwaxError(f"Expected {path} to be text in UTF-8; got {error}.") from error


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value of a JSON file. Raises as `read_text` and `loads`."""
    return loads(read_text(path), path)


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file whole or not at all: a hidden one beside it, `.NAME.*.part`, takes its name once it is on the disk.

    Raises:
        OSError: no permission, no space left, or no such folder; then nothing is left of it.
    """
    path, content = Path(path), content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # others may read it, as any file that is written under its own name
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _finite(value: Any) -> Any:
    """The same, with None for every float that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_finite(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value

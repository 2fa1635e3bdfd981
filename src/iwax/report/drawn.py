"""A figure is drawn again only when what it shows, or what draws it, has changed: each file says what that was."""

import functools
import hashlib
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

from iwax.figures import about
from iwax.runs import what_computes

__all__ = ["draw_once"]


def draw_once(function: Callable[[Sequence[Path]], None], paths: Sequence[Path]) -> None:
    """Have a figure drawn into files of several formats, unless they are there, and of these very arguments.

    Arguments:
        function: draws it; with its arguments, as `functools.partial` holds them. Those that cannot be pickled are
            drawn each time.
        paths: the files, .svg or .pdf, in which text stays text.
    """
    made_of = _made_of(function)
    if made_of and all(_says(path, made_of) for path in paths):
        return
    with about({"made_of": made_of}):
        function(paths)


def _made_of(function: Callable[[Sequence[Path]], None]) -> str:
    """A checksum of the function, its arguments and all code; "" if there is none."""
    try:
        content = pickle.dumps((function, _code()))
    except (pickle.PicklingError, TypeError, AttributeError):
        return ""
    return hashlib.sha256(content).hexdigest()


@functools.cache
def _code() -> tuple[str, str]:
    return what_computes()["code"], matplotlib.__version__


def _says(path: Path, made_of: str) -> bool:
    """Whether a file is there and says so, in its description, which no format compresses."""
    return path.is_file() and made_of.encode() in path.read_bytes()

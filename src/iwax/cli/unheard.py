"""The standard error of a command, where it is no fault that nobody hears: notices and bars are no results.

A terminal may be closed while a run goes on that has a checkpoint to write, or the disk of a log be full. What is
written to the standard output are results, and fails as before.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["unheard_is_no_fault"]


class _Lenient:
    """A stream that writes what it can."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def unheard_is_no_fault() -> Iterator[None]:
    """A context in which writing to `sys.stderr` raises no OSError; what cannot be written by its end is given up."""
    stream = sys.stderr
    if stream is None:  # closed from the start
        yield
        return
    lenient: Any = _Lenient(stream)
    sys.stderr = lenient
    try:
        yield
    finally:
        sys.stderr = stream
        try:
            stream.flush()
        except OSError:
            _give_up(stream)


def _give_up(stream: Any) -> None:
    """Let what is held back go nowhere, as Python would try again at its end, and end with a status of its own."""
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
